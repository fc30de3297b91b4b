"""Soft codes at first (All in Tokens: Ning et al., arXiv 2301.02229)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from gqvae.config import QuantizerConfig
from gqvae.errors import GqvaeError
from gqvae.learn.quantizers.cosine import CosineQuantizer


@dataclass(frozen=True)
class SoftTopKOptions:
    top: int = 16
    """Codes mixed at first."""

    def __post_init__(self) -> None:
        if self.top < 2:
            raise GqvaeError(f"top must be 2 or more, not {self.top}")


class SoftTopKQuantizer(CosineQuantizer):
    """Mixtures of the nearest few codes in warm-up, fewer and fewer (soft tokens, All in Tokens).

    The weights are the softmax over them. So warm-up trains the codes, where others leave latents as they are and set
    the codes at its end; afterwards a latent is one code.
    """

    Options = SoftTopKOptions

    def __init__(self, size: int, width: int, config: QuantizerConfig, options: SoftTopKOptions) -> None:
        super().__init__(size, width, config, options)
        self.top = options.top

    @classmethod
    def ignores(cls, options: SoftTopKOptions) -> tuple[str, ...]:
        return (*super().ignores(options), "start")  # warm-up trains the codes

    def continuous(self, latents: Tensor) -> Tensor:
        left = 1 - self.step / max(1, self.warmup_steps)
        count = min(self.size, max(2, round(self.top * left)))
        projected = self.project(latents)
        best, indices = self.similarity(projected.flatten(0, -2)).topk(count)
        mixed = (best.softmax(-1)[..., None] * F.normalize(self.points()[indices], dim=-1)).sum(-2)
        return self.expand(mixed.view_as(projected))

    def start(self, latents: Tensor, generator: torch.Generator) -> None:
        """The codes have begun already."""
