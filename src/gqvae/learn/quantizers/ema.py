"""Low-dimensional, normalised codes that follow moving averages of their latents (arXiv 1711.00937, appendix A.1)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from gqvae.config import QuantizerConfig
from gqvae.learn.quantizers.cosine import CosineQuantizer
from gqvae.settings import share


@dataclass(frozen=True)
class EMAOptions:
    decay: float = 0.98
    """Decay of the moving averages, a step."""

    def __post_init__(self) -> None:
        share(self, "decay")


class EMAQuantizer(CosineQuantizer):
    """Low-dimensional unit codes that follow moving averages of their latents.

    n <- decay n + (1 - decay) count, m <- decay m + (1 - decay) sum of latents, code = m / |m|."""

    Options = EMAOptions
    masses: Tensor
    sums: Tensor
    FRESH_MASS = 3.0
    """Mass that a code starts with where it is placed, so that its first latents do not drag it back at once."""

    def __init__(self, size: int, width: int, config: QuantizerConfig, options: EMAOptions) -> None:
        super().__init__(size, width, config, options)
        self.decay = options.decay

    def _hold_codes(self, codes: Tensor) -> None:
        self.register_buffer("codes", codes)
        self.register_buffer("masses", torch.full((len(codes),), self.FRESH_MASS))
        self.register_buffer("sums", self.FRESH_MASS * codes)

    def loss(self, projected: Tensor, nearest: Tensor) -> Tensor:
        return self.commitment * (1 - F.cosine_similarity(projected, nearest, dim=-1))

    @torch.no_grad()
    def assign(self, latents: Tensor, indices: Tensor, weights: Tensor) -> None:
        weighted = self.project(latents)[:, None] * weights[..., None]
        masses = torch.zeros_like(self.masses).index_add_(0, indices.flatten(), weights.flatten())
        sums = torch.zeros_like(self.sums).index_add_(0, indices.flatten(), weighted.flatten(0, 1))
        self.masses.lerp_(masses, 1 - self.decay)
        self.sums.lerp_(sums, 1 - self.decay)
        alive = self.masses > 1e-3
        self.codes[alive] = F.normalize(self.sums[alive], dim=-1)

    @torch.no_grad()
    def replace(self, rows: Tensor, latents: Tensor) -> None:
        super().replace(rows, latents)
        self.masses[rows] = self.FRESH_MASS
        self.sums[rows] = self.FRESH_MASS * self.codes[rows]
