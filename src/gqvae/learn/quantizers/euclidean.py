"""What quantizers share that compare by Euclidean distance."""

from typing import Any

import torch
from torch import Tensor, nn

from gqvae.config import QuantizerConfig
from gqvae.learn.quantizers.base import Quantizer


class EuclideanQuantizer(Quantizer):
    """Logits are -scale ||z - e||^2 / 2 with a learned scale."""

    SCALE = 1.0
    """At first."""

    def __init__(self, size: int, width: int, config: QuantizerConfig, options: Any) -> None:
        super().__init__(size, width, config, options)
        self.log_scale = nn.Parameter(torch.tensor(self.SCALE).log())

    def keys(self) -> tuple[Tensor, Tensor]:
        # up to a term that all codes share: one matrix product, no (N, V, d) tensor
        points = self.points()
        keys = points * self.log_scale.exp()
        return keys, -(points * keys).sum(1) / 2

    def loss(self, projected: Tensor, nearest: Tensor) -> Tensor:
        codebook = (projected.detach() - nearest).square().mean(-1)
        commitment = (projected - nearest.detach()).square().mean(-1)
        return codebook + self.commitment * commitment

    def statistics(self) -> dict[str, float]:
        return {"scale": self.log_scale.exp().item()}
