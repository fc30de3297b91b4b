"""Residual quantization with nested dropout (SoundStream, arXiv 2107.03312)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gqvae.config import QuantizerConfig
from gqvae.learn.quantizers.base import Candidates
from gqvae.learn.quantizers.cosine import CosineQuantizer
from gqvae.learn.quantizers.kmeans import assign, kmeans
from gqvae.settings import positive, share


@dataclass(frozen=True)
class ResidualOptions:
    depth: int = 2
    """Codebooks, each for what the ones before it left over."""
    dropout: float = 0.25
    """Share of steps that use the first few codebooks alone."""

    def __post_init__(self) -> None:
        positive(self, "depth")
        share(self, "dropout")


class ResidualQuantizer(CosineQuantizer):
    """Sums of a coarse code and finer ones, any of which may be left out at the end (RVQ, nested dropout).

    The table holds the sums of one code each of the first 1, 2, ... `depth` codebooks, and the nearest is searched
    among all of them rather than codebook by codebook. Dropout makes the shallow ones stand by themselves; `limit` is
    then a knob for the rate: one codebook more or less.
    """

    Options = ResidualOptions
    movable = False
    depths: Tensor

    def __init__(self, size: int, width: int, config: QuantizerConfig, options: ResidualOptions) -> None:
        branches = _branches(size, options.depth)
        total = sum(branches**level for level in range(1, options.depth + 1))
        super().__init__(total, width, config, options)
        self.depth, self.dropout, self.most = options.depth, options.dropout, options.depth
        codes = F.normalize(torch.randn(options.depth, branches, config.code_width), dim=-1)
        self.codes = nn.Parameter(codes * 0.7 ** torch.arange(options.depth)[:, None, None])
        levels = [torch.full((branches**level,), level) for level in range(1, options.depth + 1)]
        self.register_buffer("depths", torch.cat(levels), persistent=False)

    def points(self) -> Tensor:
        tables = [self.codes[0]]
        for level in self.codes[1:]:
            tables.append((tables[-1][:, None] + level).flatten(0, 1))
        return torch.cat(tables)

    def limit(self, depth: int) -> None:
        """Use the first `depth` codebooks alone from now on."""
        self.most = depth

    def candidates(
        self, latents: Tensor, count: int, allowed: Tensor | None = None, besides: Tensor | None = None
    ) -> Candidates:
        deepest = self._deepest()
        if deepest < self.depth:
            shallow = self.depths <= deepest
            allowed = shallow if allowed is None else shallow & allowed
            besides = besides if besides is None else torch.where((besides >= 0) & shallow[besides], besides, -1)
        return super().candidates(latents, count, allowed, besides)

    def nearest(self, latents: Tensor, allowed: Tensor | None = None) -> Tensor:
        shallow = self.depths <= self._deepest()
        return super().nearest(latents, shallow if allowed is None else shallow & allowed)

    def _deepest(self) -> int:
        if not self.exploring or torch.rand((), generator=self.noise) >= self.dropout:
            return self.most
        return int(torch.randint(1, self.most + 1, (), generator=self.noise))

    @torch.no_grad()
    def start(self, latents: Tensor, generator: torch.Generator) -> None:
        left = self.project(latents)
        for level in self.codes:
            centres = kmeans(left, len(level), generator)
            level[: len(centres)] = centres
            left = left - centres[assign(left, centres)]


def _branches(size: int, depth: int) -> int:
    """The fewest codes a codebook that make `size` sums of 1 to `depth` of them."""
    branches = 1
    while sum(branches**level for level in range(1, depth + 1)) < size:
        branches += 1
    return branches
