"""Gumbel-softmax (Jang et al., arXiv 1611.01144; DALL-E's dVAE, arXiv 2102.12092)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from gqvae.config import QuantizerConfig
from gqvae.learn.quantizers.base import Candidates, Quantized
from gqvae.learn.quantizers.cosine import CosineQuantizer
from gqvae.settings import not_negative, positive


@dataclass(frozen=True)
class GumbelOptions:
    kl: float = 5e-4
    """Weight of the divergence of a latent's codes from the uniform distribution (taming-transformers' 5e-4)."""
    temperature: float = 1.0
    """Temperature of the noisy softmax at first; it halves every `halving` steps."""
    halving: int = 100
    coldest: float = 0.0625
    """Where it stays."""

    def __post_init__(self) -> None:
        not_negative(self, "kl")
        positive(self, "temperature", "halving", "coldest")


class GumbelQuantizer(CosineQuantizer):
    """Codes sampled with Gumbel-softmax, with a KL term towards uniform use (as summaries of GQ-VAE describe).

    Under the objective `gates` the code drawn is decoded, with the gradient of the softmax at the temperature. Under
    `marginal`, which weighs each candidate by its probability, chance decides which are considered beside the nearest:
    a sample without replacement (Gumbel top-k). Either needs a table (N, V) with a gradient.
    """

    Options = GumbelOptions

    def __init__(self, size: int, width: int, config: QuantizerConfig, options: GumbelOptions) -> None:
        super().__init__(size, width, config, options)
        self.options = options

    @classmethod
    def ignores(cls, options: GumbelOptions) -> tuple[str, ...]:
        return (*super().ignores(options), "commitment")

    @property
    def temperature(self) -> float:
        return max(self.options.coldest, self.options.temperature * math.exp2(-self.step / self.options.halving))

    def forward(self, latents: Tensor) -> Quantized:
        if not self.exploring:
            return super().forward(latents)
        logits = self.similarity(self.project(latents).flatten(0, -2))
        soft = ((logits + self._gumbel(logits)) / self.temperature).softmax(-1)
        indices = soft.argmax(-1)
        hard = F.one_hot(indices, self.size).to(soft)
        points = F.normalize(self.points(), dim=-1)
        vectors = self.expand((hard + soft - soft.detach()) @ points)
        apart = (1 - F.cosine_similarity(self.project(latents).flatten(0, -2), points[indices], dim=-1)).detach()
        shape = latents.shape[:-1]
        return Quantized(
            vectors.view_as(latents), indices.view(shape), latents.new_zeros(shape), apart.view(shape)
        )  # fmt: skip

    def candidates(
        self, latents: Tensor, count: int, allowed: Tensor | None = None, besides: Tensor | None = None
    ) -> Candidates:
        if not self.exploring:
            return super().candidates(latents, count, allowed, besides)
        with torch.no_grad():
            logits = self.similarity(self.project(latents).flatten(0, -2))
            logits = logits if allowed is None else logits.masked_fill(~allowed, -torch.inf)
            scores = logits / self.temperature + self._gumbel(logits)
            drawn = scores.topk(min(count, self.size)).indices
            drawn = drawn.view(*latents.shape[:-1], drawn.shape[1])
        if besides is not None:  # each once
            again = (besides[..., None] == drawn[..., None, :]).any(-1)
            drawn = torch.cat([drawn, besides.masked_fill(again, -1)], -1)
        return super().candidates(latents, 1, allowed, drawn)

    def penalty(self, latents: Tensor) -> Tensor:
        log_probs = self.similarity(self.project(latents).flatten(0, -2)).log_softmax(-1)
        divergence = (log_probs.exp() * (log_probs + math.log(self.size))).sum(-1)
        return self.options.kl * divergence.sum() / max(1, len(divergence))

    def _gumbel(self, logits: Tensor) -> Tensor:
        uniform = torch.rand(logits.shape, generator=self.noise).clamp(1e-9, 1 - 1e-7)
        return -(-uniform.log()).log().to(logits)

    def statistics(self) -> dict[str, float]:
        return super().statistics() | {"temperature": self.temperature}
