"""The two losses that train a GQVAE, each a module from a batch of pretokens to an `Outcome`.

Shapes: B pretokens of T bytes, D width, K longest token, M candidates, N = B * T bytes in the batch. Costs in nats.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gqvae.config import ObjectiveConfig, QuantizerConfig
from gqvae.learn.lexicon import Lexicon
from gqvae.learn.linear import to_few_lengths
from gqvae.learn.model import GQVAE, candidate_span_costs, span_costs
from gqvae.learn.segments import (
    log_partition,
    lookback,
    open_lengths,
    span_posterior,
    survival_mask,
    within,
)


# These are not frozen: Fabric walks what a forward pass takes and gives, and refuses frozen dataclasses.
@dataclass
class Outcome:
    """What a step saw. Everything but `loss` is detached."""

    loss: Tensor
    """()"""
    nats_per_byte: Tensor
    """() reconstruction, characters and lengths, of the spans the segmentation uses."""
    soft_tokens: Tensor
    """() expected tokens per pretoken."""
    gates: Tensor
    """(B, T) the gater's probabilities."""
    latents: Tensor
    """(N, D)"""
    errors: Tensor
    """(N,) how badly each latent is served by the codes: what the reservoir ranks."""
    assigned: tuple[Tensor, Tensor] | None
    """Codes (N, M) that the latents stood for, and how surely (N, M); None while nothing is quantized."""


@dataclass
class Phase:
    """Where in training a step is."""

    quantized: bool
    """False during warm-up."""
    weight: float
    """marginal: of reconstruction against the price."""
    lexicon: Lexicon | None
    """marginal: what the codes spell, as far as is known."""
    pinned: Tensor | None
    """marginal: (P,) codes whose decoder is held to what the lexicon says."""


class Marginal(nn.Module):
    """Sum over all segmentations, and over the nearest few codes for each span and the code that spells it.

    A span (t, k) spelled by candidate code v weighs

        ln q(v | latent at t) - w * cost(v spells the span) - price,

    and the loss is minus the log of the summed weight of all segmentations, per byte. Its gradient gives each decoder
    term the posterior of its span, pulls the latent to the code that spelled it (q is the softmax over the codebook,
    so this is the commitment, and pushes away from the others), and moves the code likewise. The gater learns the
    posterior that a token ends at each byte, from quantized vectors alone, so that the paper's inference works too.
    """

    def __init__(self, model: GQVAE, config: ObjectiveConfig, quantizer: QuantizerConfig) -> None:
        super().__init__()
        self.model, self.count = model, quantizer.candidates
        model.price.fill_(config.price)  # where a training starts; a checkpoint brings its own

    def forward(self, pretokens: Tensor, phase: Phase) -> Outcome:
        """pretokens (B, T)."""
        latents = self.model.encode(pretokens)
        if not phase.quantized:
            return self._continuous(pretokens, latents, phase.weight)
        quantizer, lexicon = self.model.quantizer, phase.lexicon
        reach = min(self.model.longest, pretokens.shape[1])  # no span is longer than the pretoken
        exact = None if lexicon is None else lexicon.look_up(pretokens)[..., :reach]
        candidates = quantizer.candidates(latents, self.count, besides=exact)
        # each code that matters to this batch is decoded once, however often it is a candidate
        rows, places = torch.unique(candidates.indices, return_inverse=True)
        vectors = quantizer.vectors(to_few_lengths(rows))
        costs = candidate_span_costs(self.model.decode(vectors, reach), places, pretokens)
        edges = candidates.log_probs[..., None] - phase.weight * costs - self.model.price
        scores = edges.logsumexp(2)
        loss = -log_partition(scores).sum() / pretokens.numel() + quantizer.penalty(latents)
        if lexicon is not None and phase.pinned is not None:
            loss = loss + lexicon.spelling_cost(self.model.decode(quantizer.vectors(phase.pinned)), phase.pinned)

        posterior = span_posterior(scores)
        shares = posterior[:, :, None] * (edges - scores[:, :, None]).exp().detach()
        nearest = candidates.indices[..., 0]
        return self._outcome(
            loss, pretokens, latents, quantizer.vectors(nearest), posterior,
            (shares * costs.detach()).sum((2, 3)), (candidates.indices.flatten(0, 1), shares.sum(3).flatten(0, 1)),
        )  # fmt: skip

    def _continuous(self, pretokens: Tensor, latents: Tensor, weight: float) -> Outcome:
        """Warm-up: every latent spells by itself. Each byte also learns to spell all that lies behind it, near bytes
        first, so that latents (and the codes that start from them) are arranged by their endings."""
        vectors = self.model.quantizer.continuous(latents)
        decoded = self.model.decode(vectors)
        costs = span_costs(decoded, pretokens)
        scores = -weight * costs - self.model.price
        loss = -log_partition(scores).sum() / pretokens.numel()

        longest = scores.shape[-1]
        characters = -decoded.characters.gather(-1, lookback(pretokens, longest)[..., None])[..., 0]
        nearness = torch.exp(-torch.arange(longest, device=scores.device) / 4)
        behind = characters * within(pretokens.shape[1], longest, scores.device) * nearness
        loss = loss + behind.sum() / pretokens.numel()

        posterior = span_posterior(scores)
        return self._outcome(
            loss, pretokens, latents, vectors, posterior, (posterior * costs.detach()).sum(-1), assigned=None
        )

    def _outcome(
        self, loss: Tensor, pretokens: Tensor, latents: Tensor, vectors: Tensor, posterior: Tensor, errors: Tensor,
        assigned: tuple[Tensor, Tensor] | None,
    ) -> Outcome:  # fmt: skip
        ends = posterior.sum(-1)
        logits = self.model.gate(vectors.detach())
        gating = F.binary_cross_entropy_with_logits(logits, ends.clamp(0, 1))
        return Outcome(
            loss=loss + gating,
            nats_per_byte=errors.sum() / pretokens.numel(),
            soft_tokens=ends.sum() / len(pretokens),
            gates=logits.detach().sigmoid(),
            latents=latents.detach().flatten(0, 1),
            errors=errors.flatten(),
            assigned=assigned,
        )


class Gates(nn.Module):
    """The paper's soft gates, with the forced gates that keep every byte (spec: after K bytes, and at the end).

    reconstruction mean(m * cross-entropy) + alpha * mean(g)   (or rate_weight * (mean(g) - target)^2)
    + gamma * length loss + codebook and commitment terms; m is the survival mask.
    """

    def __init__(self, model: GQVAE, config: ObjectiveConfig, quantizer: QuantizerConfig) -> None:
        super().__init__()
        self.model, self.config = model, config
        model.price.fill_(config.price)  # for the viterbi segmenter

    def forward(self, pretokens: Tensor, phase: Phase) -> Outcome:
        """pretokens (B, T)."""
        latents = self.model.encode(pretokens)
        assigned = None
        if phase.quantized:
            snapped = self.model.quantizer(latents)
            vectors, terms = snapped.vectors, snapped.loss.mean() + self.model.quantizer.penalty(latents)
            codes = snapped.indices.view(-1, 1)
            assigned = (codes, torch.ones_like(codes, dtype=latents.dtype))
        else:
            vectors, terms = self.model.quantizer.continuous(latents), latents.new_zeros(())
        gates = self.model.gate(vectors).sigmoid()
        open_, ends = open_lengths(gates, self.model.longest)
        mask = survival_mask(open_) * within(pretokens.shape[1], self.model.longest, gates.device)
        decoded = self.model.decode(vectors)
        wanted = lookback(pretokens, self.model.longest)
        characters = -decoded.characters.gather(-1, wanted[..., None])[..., 0]
        reconstruction = (mask * characters).mean()
        length = _length_loss(decoded.lengths, mask.detach(), ends.detach())
        loss = reconstruction + self._compression(gates) + self.config.length_weight * length + terms

        spelled = (open_ * ends[..., None]).detach() * span_costs(decoded, pretokens).detach()
        errors = snapped.distances if phase.quantized else spelled.sum(-1)
        return Outcome(
            loss=loss,
            nats_per_byte=spelled.sum() / pretokens.numel(),
            soft_tokens=ends.detach().sum() / len(pretokens),
            gates=gates.detach(),
            latents=latents.detach().flatten(0, 1),
            errors=errors.flatten(),
            assigned=assigned,
        )

    def _compression(self, gates: Tensor) -> Tensor:
        rate = gates.mean()
        if self.config.target_rate is None:
            return self.config.alpha * rate
        return self.config.rate_weight * (rate - self.config.target_rate).square()


def make_objective(model: GQVAE, config: ObjectiveConfig, quantizer: QuantizerConfig) -> Marginal | Gates:
    """The objective that `config.name` names."""
    return (Gates if config.name == "gates" else Marginal)(model, config, quantizer)


def _length_loss(lengths: Tensor, mask: Tensor, ends: Tensor) -> Tensor:
    """Cross-entropy of the predicted mask p(length > k) against the survival mask, weighted by the gate (B, T, K)."""
    longer = (1 - (lengths.exp().cumsum(-1) - lengths.exp())).clamp(1e-6, 1 - 1e-6)
    return (F.binary_cross_entropy(longer, mask.clamp(0, 1), reduction="none") * ends[..., None]).mean()
