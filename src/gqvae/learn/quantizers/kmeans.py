"""Lloyd's algorithm, for where codes begin."""

import torch
from torch import Tensor

from gqvae.learn.nearest import nearest

ROUNDS = 10
PER_CENTRE = 32
"""Points a centre is fitted to, at most: more change little."""


def kmeans(points: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """(at most `count`, d) centres of points (n, d): so many as there are different points to begin with.

    Starts from a random sample; a centre that loses all its points stays where it is.
    """
    order = torch.randperm(len(points), generator=generator)[: PER_CENTRE * count]
    points = points[order.to(points.device)]
    centres: Tensor = torch.unique(points[:count], dim=0)
    for _ in range(ROUNDS if len(centres) else 0):
        found = assign(points, centres)
        sums = torch.zeros_like(centres).index_add_(0, found, points)
        counts = torch.bincount(found, minlength=len(centres))[:, None]
        centres = torch.where(counts > 0, sums / counts.clamp(min=1), centres)
    return centres


def assign(points: Tensor, centres: Tensor) -> Tensor:
    """(n,): the nearest centre of each point."""
    return nearest(points, centres, -centres.square().sum(1) / 2)
