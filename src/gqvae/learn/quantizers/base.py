"""The interface of a quantizer: what the model, the objectives and distillation ask of a codebook.

Shapes: N latents of the model's width D, V codes, M candidates a latent, d the width the codes live in.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


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
    """(..., M) log-probability of each under the softmax over all codes, largest first."""
    indices: Tensor
    """(..., M)"""


class Quantizer(nn.Module):
    """A codebook of `size` vectors. A quantizer is a file with a subclass of this.

    Subclasses hold `codes` (V, d), as a parameter or a buffer, and say how latents and codes are compared.
    """

    size: int
    codes: Tensor

    def project(self, latents: Tensor) -> Tensor:
        """(..., D) -> (..., d), where codes live."""
        raise NotImplementedError

    def expand(self, codes: Tensor) -> Tensor:
        """(..., d) -> (..., D), what decoder and gater read."""
        raise NotImplementedError

    def similarity(self, projected: Tensor) -> Tensor:
        """(N, d) -> (N, V) logits; the largest marks the nearest code."""
        raise NotImplementedError

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

    def candidates(self, latents: Tensor, count: int, allowed: Tensor | None = None) -> Candidates:
        """The `count` nearest codes of each latent.

        Args:
            latents: (..., D).
            allowed: (V,) True for the codes that may be chosen.
        """
        logits = self.similarity(self.project(latents).flatten(0, -2))
        if allowed is not None:
            logits = logits.masked_fill(~allowed, -torch.inf)
        best, indices = logits.topk(min(count, self.size), dim=-1)
        log_probs = best - logits.logsumexp(-1, keepdim=True)
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
