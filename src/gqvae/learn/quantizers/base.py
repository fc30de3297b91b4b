"""The interface of a quantizer: what the model, the objectives and distillation ask of a codebook.

Shapes: N latents of the model's width D, V codes, M candidates a latent, d the width the codes live in.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Quantized:
    """Latents snapped to their nearest codes."""

    vectors: Tensor
    """(..., D) the codes in the model's width; the gradient passes straight through to the latents."""
    indices: Tensor
    """(...) of the codes."""
    loss: Tensor
    """(...) codebook and commitment terms of each latent, weighted."""


@dataclass(frozen=True)
class Candidates:
    """The nearest few codes of each latent."""

    log_probs: Tensor
    """(..., M) log-probability of each under the softmax over all codes, largest first; then those asked for besides,
    -inf where there is none."""
    indices: Tensor
    """(..., M)"""


class Quantizer(nn.Module):
    """A codebook of `size` vectors. A quantizer is a file with a subclass of this.

    Subclasses hold `codes` (V, d), as a parameter or a buffer, and say how latents and codes are compared (`keys`).
    """

    size: int
    codes: Tensor

    def project(self, latents: Tensor) -> Tensor:
        """(..., D) -> (..., d), where codes live."""
        raise NotImplementedError

    def expand(self, codes: Tensor) -> Tensor:
        """(..., d) -> (..., D), what decoder and gater read."""
        raise NotImplementedError

    def keys(self) -> tuple[Tensor, Tensor]:
        """(V, d), (V,): a latent p has the logits p @ keys.T + bias, the largest for the nearest code."""
        raise NotImplementedError

    def similarity(self, projected: Tensor) -> Tensor:
        """(N, d) -> (N, V) logits."""
        keys, bias = self.keys()
        return torch.addmm(bias, projected, keys.T)

    def loss(self, projected: Tensor, nearest: Tensor) -> Tensor:
        """(..., d), (..., d) -> (...), the terms that draw codes and latents together."""
        raise NotImplementedError

    def vectors(self, indices: Tensor) -> Tensor:
        """(...) code indices -> (..., D), as decoder and gater read them."""
        return self.expand(self.codes[indices])

    def table(self) -> Tensor:
        """(V, D): every code as the decoder reads it."""
        return self.expand(self.codes)

    def continuous(self, latents: Tensor) -> Tensor:
        """Through the bottleneck without snapping, (..., D) -> (..., D): the warm-up."""
        return self.expand(self.project(latents))

    def candidates(
        self, latents: Tensor, count: int, allowed: Tensor | None = None, besides: Tensor | None = None
    ) -> Candidates:
        """The `count` nearest codes of each latent.

        Args:
            latents: (..., D).
            allowed: (V,) True for the codes that may be chosen.
            besides: (..., E) further candidates of each latent, -1 for none; one that is among the nearest counts once.
        """
        projected, (keys, bias) = self.project(latents).flatten(0, -2), self.keys()
        most = min(count, self.size)
        log_total, indices = _Nearest.apply(projected, keys, bias, most, allowed)  # type: ignore[no-untyped-call]
        idle = torch.zeros_like(indices, dtype=torch.bool)
        if besides is not None:
            more = besides.flatten(0, -2)
            known = (more < 0) | (more[..., None] == indices[:, None]).any(-1)
            idle = torch.cat([idle, known], -1)
            indices = torch.cat([indices, torch.where(known, indices[:, :1], more)], -1)  # one that is decoded anyway
        logits = (projected[:, None] * F.embedding(indices, keys)).sum(-1) + bias[indices]
        log_probs = (logits - log_total[:, None]).masked_fill(idle, -torch.inf)
        shape = (*latents.shape[:-1], -1)
        return Candidates(log_probs.view(shape), indices.view(shape))

    def forward(self, latents: Tensor) -> Quantized:
        """Snap (..., D) to the nearest codes, straight-through (van den Oord et al., arXiv 1711.00937)."""
        projected = self.project(latents)
        with torch.no_grad():
            indices = self.similarity(projected.flatten(0, -2)).argmax(-1).view(projected.shape[:-1])
        nearest = self.codes[indices]
        vectors = self.expand(projected + (nearest - projected).detach())
        return Quantized(vectors, indices, self.loss(projected, nearest))

    def assign(self, latents: Tensor, indices: Tensor, weights: Tensor) -> None:
        """Told after each step which codes (N, M) each latent (N, D) stood for, how surely (N, M). For averages."""

    @torch.no_grad()
    def replace(self, rows: Tensor, latents: Tensor) -> None:
        """Set the codes `rows` (n,) from latents (n, D)."""
        self.codes[rows] = self.project(latents)


class _Nearest(torch.autograd.Function):
    """ln sum_v exp(logit_v), and the nearest codes, of each latent.

    The table of (N, V) is most of the memory and time of a step with a large codebook: this keeps one, overwritten in
    place, where autograd keeps five. Its gradient is the softmax, and the codes that matter take theirs by look-up.
    """

    @staticmethod
    def forward(
        ctx: Any, projected: Tensor, keys: Tensor, bias: Tensor, count: int, allowed: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        with torch.autocast(projected.device.type, enabled=False):
            projected, keys = projected.float(), keys.float()
            logits = torch.addmm(bias.float(), projected, keys.T)
            if allowed is not None:
                logits.masked_fill_(~allowed, -torch.inf)
            best, indices = logits.topk(count, dim=-1)
            top = best[:, :1]
            exponentials = logits.sub_(top).exp_()
            totals = exponentials.sum(-1, keepdim=True)
        ctx.save_for_backward(projected, keys, exponentials, totals)
        ctx.mark_non_differentiable(indices)
        return (totals.log() + top)[:, 0], indices

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        projected, keys, exponentials, totals = ctx.saved_tensors
        weighted = exponentials * (gradients[0][:, None] / totals)
        return weighted @ keys, weighted.T @ projected, weighted.sum(0), None, None
