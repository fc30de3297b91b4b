"""Finite scalar quantization (Mentzer et al., arXiv 2309.15505)."""

import math
from dataclasses import dataclass
from itertools import combinations_with_replacement

import torch
from torch import Tensor

from gqvae.config import QuantizerConfig
from gqvae.errors import GqvaeError
from gqvae.learn.linear import Linear
from gqvae.learn.quantizers.base import LARGEST
from gqvae.learn.quantizers.euclidean import EuclideanQuantizer
from gqvae.learn.quantizers.grid import combinations

LEVELS = range(3, 10)
"""Per dimension. The paper has at least 5; but strings need neighbours in many directions more than they need fine
steps: of 1,000 codes in 4, 5 and 6 dimensions, those in 6 give by far the best tokens (docs/log.md)."""

SPARE = 1.3
"""How many times the codes asked for there may be."""


@dataclass(frozen=True)
class FSQOptions:
    levels: tuple[int, ...] = ()
    """Levels of each dimension. Empty: `levels_for` the codes that are asked for."""

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
        self.project_in, self.project_out = Linear(width, len(levels)), Linear(len(levels), width)
        grid = combinations([torch.arange(n)[:, None] - n // 2 for n in levels])
        self.register_buffer("codes", grid.float(), persistent=False)
        wide = torch.tensor(levels)
        half, offset = (wide - 1) * 1.001 / 2, (wide % 2 == 0) / 2
        bounds = torch.stack([half, offset, torch.atanh(offset / half), wide // 2])
        self.register_buffer("bounds", bounds, persistent=False)

    @classmethod
    def ignores(cls, options: FSQOptions) -> tuple[str, ...]:
        return (*super().ignores(options), "commitment")

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
    """The grid of most dimensions, then of fewest codes, among those with `size` codes or a few more.

    >>> levels_for(200), levels_for(1000), levels_for(50_000), levels_for(3), levels_for(2)
    ((3, 3, 3, 3, 3), (3, 3, 3, 3, 3, 5), (3, 3, 3, 3, 3, 3, 3, 3, 3, 3), (3,), (2,))
    """
    if size < LEVELS[0]:
        return (max(2, size),)
    if size > LARGEST:
        raise GqvaeError(f"a table of {size:,} codes is too large; there may be {LARGEST:,}")
    most = min(LARGEST, SPARE * size)
    dimensions = range(1, 1 + int(math.log(most, LEVELS[0])))
    grids = (grid for n in dimensions for grid in combinations_with_replacement(LEVELS, n))
    return max((grid for grid in grids if size <= math.prod(grid) <= most), key=lambda g: (len(g), -math.prod(g)))
