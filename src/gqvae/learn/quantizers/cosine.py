"""Low-dimensional, normalised codes compared by cosine (ViT-VQGAN, arXiv 2110.04627, section 3.2)."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gqvae.config import QuantizerConfig
from gqvae.learn.linear import Linear
from gqvae.learn.quantizers.base import Quantizer


class CosineQuantizer(Quantizer):
    """Low-dimensional unit codes by cosine (ViT-VQGAN).

    Under a learned temperature the softmax over codes is a classifier. Search costs d / D of the full width, and the
    scale of the latents cannot run away. Quantizers that make their codes otherwise inherit from it and say `points`.
    """

    def __init__(self, size: int, width: int, config: QuantizerConfig, options: Any) -> None:
        super().__init__(size, width, config, options)
        self.project_in = Linear(width, config.code_width)
        self.project_out = Linear(config.code_width, width)
        self.log_scale = nn.Parameter(torch.tensor(math.log(12.0)))
        self._hold_codes(F.normalize(torch.randn(size, config.code_width), dim=-1))

    def _hold_codes(self, codes: Tensor) -> None:
        self.codes = nn.Parameter(codes)

    def project(self, latents: Tensor) -> Tensor:
        return F.normalize(self.project_in(latents), dim=-1)

    def expand(self, codes: Tensor) -> Tensor:
        # unit vectors have entries of about 1/sqrt(d); the decoder likes entries of about 1
        unit = F.normalize(codes, dim=-1)
        expanded: Tensor = self.project_out(unit * math.sqrt(unit.shape[-1]))
        return expanded

    def keys(self) -> tuple[Tensor, Tensor]:
        points = self.points()
        return F.normalize(points, dim=-1) * self.log_scale.exp(), points.new_zeros(len(points))

    def loss(self, projected: Tensor, nearest: Tensor) -> Tensor:
        codebook = 1 - F.cosine_similarity(projected.detach(), nearest, dim=-1)
        commitment = 1 - F.cosine_similarity(projected, nearest.detach(), dim=-1)
        return codebook + self.commitment * commitment

    def statistics(self) -> dict[str, float]:
        return {"scale": self.log_scale.exp().item()}
