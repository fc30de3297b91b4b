"""Product quantization with decorrelated factors (FQGAN: Bai et al., arXiv 2411.16681)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gqvae.config import QuantizerConfig
from gqvae.errors import GqvaeError
from gqvae.learn.quantizers.cosine import CosineQuantizer
from gqvae.learn.quantizers.grid import combinations
from gqvae.learn.quantizers.kmeans import kmeans
from gqvae.settings import not_negative, positive


@dataclass(frozen=True)
class ProductOptions:
    groups: int = 2
    """Codebooks, each for its part of the dimensions."""
    decorrelation: float = 0.1
    """Weight of the squared cosine between the parts of a latent: they should not say the same (FQGAN's
    disentanglement)."""

    def __post_init__(self) -> None:
        positive(self, "groups")
        not_negative(self, "decorrelation")


class ProductQuantizer(CosineQuantizer):
    """One code of each of a few codebooks beside each other, with decorrelated parts (product VQ, FQGAN).

    The table is all combinations. Each part is a unit vector, and so is, up to a factor, their whole.
    """

    Options = ProductOptions
    movable = False

    def __init__(self, size: int, width: int, config: QuantizerConfig, options: ProductOptions) -> None:
        if config.code_width % options.groups:
            raise GqvaeError(
                f"quantizer.code_width ({config.code_width}) must be a multiple of its groups ({options.groups})"
            )
        each = next(n for n in range(1, size + 1) if n**options.groups >= size)
        super().__init__(each**options.groups, width, config, options)
        self.groups, self.decorrelation = options.groups, options.decorrelation
        self.codes = nn.Parameter(torch.randn(options.groups, each, config.code_width // options.groups))

    def project(self, latents: Tensor) -> Tensor:
        return self._parts(latents).flatten(-2) / math.sqrt(self.groups)

    def _parts(self, latents: Tensor) -> Tensor:
        """(..., D) -> (..., groups, d / groups), unit vectors."""
        projected: Tensor = self.project_in(latents)
        return F.normalize(projected.view(*latents.shape[:-1], self.groups, self.codes.shape[-1]), dim=-1)

    def points(self) -> Tensor:
        return combinations(list(F.normalize(self.codes, dim=-1) / math.sqrt(self.groups)))

    def penalty(self, latents: Tensor) -> Tensor:
        parts = self._parts(latents).flatten(0, -3)
        cosines = (parts @ parts.transpose(-1, -2)).triu(1)
        return self.decorrelation * cosines.square().sum() / max(1, len(parts))

    @torch.no_grad()
    def start(self, latents: Tensor, generator: torch.Generator) -> None:
        for codes, part in zip(self.codes, self._parts(latents).unbind(-2), strict=True):
            centres = kmeans(part, len(codes), generator)
            codes[: len(centres)] = centres
