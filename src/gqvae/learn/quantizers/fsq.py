"""Finite scalar quantization (Mentzer et al., arXiv 2309.15505)."""

import math
from dataclasses import dataclass
from itertools import combinations_with_replacement

import torch
from torch import Tensor, nn

from gqvae.config import QuantizerConfig
from gqvae.errors import GqvaeError
from gqvae.learn.quantizers.base import LARGEST
from gqvae.learn.quantizers.euclidean import EuclideanQuantizer
from gqvae.learn.quantizers.grid import combinations

LEVELS = range(5, 9)
"""Per dimension: the paper has at least 5; beyond 8 another dimension is better."""


@dataclass(frozen=True)
class FSQOptions:
    levels: tuple[int, ...] = ()
    """Of each dimension. None: of 5 to 8 each, so that there are hardly more codes than asked for."""

    def __post_init__(self) -> None:
        if any(level < 2 for level in self.levels):
            raise GqvaeError(f"levels must be 2 or more, not {self.levels}")


class FiniteScalarQuantizer(EuclideanQuantizer):
    """A fixed grid: each of a few dimensions is rounded (FSQ).

    z -> tanh(z + shift) (L - 1) / 2 - offset, then to the nearest whole number, in each dimension. The grid
    has no parameters: the encoder learns to use it. No terms are needed to draw codes to latents.
    """

    Options = FSQOptions
    movable = False
    SCALE = 6.0  # the codes beside the nearest are candidates too: e^-3 as likely at distance 1
    bounds: Tensor

    def __init__(self, size: int, width: int, config: QuantizerConfig, options: FSQOptions) -> None:
        levels = options.levels or levels_for(size)
        if math.prod(levels) < size:
            raise GqvaeError(f"quantizer.options.levels: {levels} make {math.prod(levels)} codes, fewer than {size}")
        super().__init__(math.prod(levels), width, config, options)
        self.project_in, self.project_out = nn.Linear(width, len(levels)), nn.Linear(len(levels), width)
        grid = combinations([torch.arange(n)[:, None] - n // 2 for n in levels])
        self.register_buffer("codes", grid.float(), persistent=False)
        wide = torch.tensor(levels)
        half, offset = (wide - 1) * 1.001 / 2, (wide % 2 == 0) / 2
        bounds = torch.stack([half, offset, torch.atanh(offset / half), wide // 2])
        self.register_buffer("bounds", bounds, persistent=False)

    def project(self, latents: Tensor) -> Tensor:
        half, offset, shift, _ = self.bounds
        bounded: Tensor = torch.tanh(self.project_in(latents) + shift) * half - offset
        return bounded

    def expand(self, codes: Tensor) -> Tensor:
        expanded: Tensor = self.project_out(codes / self.bounds[3])
        return expanded

    def loss(self, projected: Tensor, nearest: Tensor) -> Tensor:
        return projected.new_zeros(projected.shape[:-1])


def levels_for(size: int) -> tuple[int, ...]:
    """The fewest codes of such levels that are `size` or more, in as few dimensions as that takes.

    >>> levels_for(1000), levels_for(50_000), levels_for(3)
    ((5, 5, 5, 8), (5, 5, 6, 6, 7, 8), (3,))
    """
    if size < LEVELS[0]:
        return (max(2, size),)
    most = math.ceil(math.log(min(size, LARGEST), LEVELS[0]))
    grids = [g for n in range(1, most + 1) for g in combinations_with_replacement(LEVELS, n) if math.prod(g) >= size]
    if not grids:
        raise GqvaeError(f"a table of {size:,} codes is too large; there may be {LARGEST:,}")
    return min(grids, key=lambda grid: (math.prod(grid), len(grid)))
