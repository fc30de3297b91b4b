"""Two codebooks under one index (TokenFlow: Qu et al., arXiv 2412.03069)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gqvae.config import QuantizerConfig
from gqvae.learn.linear import Linear
from gqvae.learn.quantizers.cosine import CosineQuantizer
from gqvae.settings import share


@dataclass(frozen=True)
class SharedIndexOptions:
    weight: float = 0.5
    """Weight of the first codebook's distance; the second's is the rest to 1."""

    def __post_init__(self) -> None:
        share(self, "weight")


class SharedIndexQuantizer(CosineQuantizer):
    """Two codebooks that share an index, chosen by the weighted sum of both distances (TokenFlow).

    There the two are of semantic and of pixel features, from two encoders; here of the two halves of the latents, each
    with a projection of its own: the second code need not lie where the first does.
    """

    Options = SharedIndexOptions

    def __init__(self, size: int, width: int, config: QuantizerConfig, options: SharedIndexOptions) -> None:
        super().__init__(size, width, config, options)
        d = config.code_width
        self.halves = (width + 1) // 2, width // 2
        self.project_in, self.second_in = (Linear(half, d) for half in self.halves)
        self.project_out = Linear(2 * d, width)
        roots = torch.tensor([options.weight, 1 - options.weight]).sqrt()
        self.register_buffer("roots", roots[:, None], persistent=False)

    roots: Tensor

    def _hold_codes(self, codes: Tensor) -> None:
        self.codes = nn.Parameter(torch.randn(len(codes), 2 * codes.shape[1]))

    def project(self, latents: Tensor) -> Tensor:
        first, second = latents[..., : self.halves[0]], latents[..., self.halves[0] :]
        return self._weighted(torch.stack([self.project_in(first), self.second_in(second)], -2))

    def points(self) -> Tensor:
        return self._weighted(self.codes.view(self.size, 2, -1))

    def _weighted(self, both: Tensor) -> Tensor:
        """(..., 2, d) -> (..., 2 d): the cosine of two such is the weighted mean of the two cosines."""
        return (F.normalize(both, dim=-1) * self.roots).flatten(-2)
