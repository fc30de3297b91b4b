"""The interface of a quantizer: what the model, the objectives and distillation ask of a codebook.

A code must stand for one fixed string. So a quantizer is a finite table of points, and whatever makes these points (a
parameter, a grid, sums or combinations of other codes) they are all that search, lexicon and distillation need to know.

Shapes: N latents of the model's width D, V codes, M candidates a latent, d the width the codes live in.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gqvae.config import Config, QuantizerConfig
from gqvae.errors import GqvaeError
from gqvae.learn.nearest import nearest, nearest_few
from gqvae.learn.quantizers.kmeans import kmeans

LARGEST = 1 << 18
"""Most codes of a table: each is decoded, and compared with every latent."""


@dataclass(frozen=True)
class NoOptions:
    """For a quantizer without options."""


@dataclass(frozen=True)
class Quantized:
    """Latents snapped to their nearest codes."""

    vectors: Tensor
    """(..., D) the codes in the model's width; the gradient passes straight through to the latents."""
    indices: Tensor
    """(...) of the codes."""
    loss: Tensor
    """(...) codebook and commitment terms of each latent, weighted."""
    distances: Tensor
    """(...) detached, of each latent from its code, as this quantizer measures it."""


@dataclass(frozen=True)
class Candidates:
    """The nearest few codes of each latent."""

    log_probs: Tensor
    """(..., M) log-probability of each under the softmax over all codes, largest first; then those asked for besides,
    -inf where there is none."""
    indices: Tensor
    """(..., M)"""


class Quantizer(nn.Module):
    """A table of `size` codes. A quantizer is a file with a subclass of this, whose docstring's first line says what it
    is (`registry` lists them).

    It must say where latents and codes lie (`project`, `points`), how they are compared (`keys`, `loss`) and what the
    decoder reads (`expand`); `cosine` and `euclidean` hold the two usual ways. Parameters named `codes` get the
    learning rate of codes.

    Args:
        size: V codes asked for; one whose codes are combinations has at least so many.
        width: D.
        config: the settings that all quantizers share.
        options: those of this one, an `Options`.
    """

    Options: ClassVar[type[Any]] = NoOptions
    """Dataclass of its own settings, `quantizer.options.KEY`."""
    movable: ClassVar[bool] = True
    """Whether single codes can be set anew (`replace`): they cannot where they are combinations or a grid."""
    of_gates: ClassVar[tuple[str, ...]] = ()
    """Options that only the objective `gates` looks at: `marginal` takes no gradient through the nearest code."""

    codes: Tensor

    def __init__(self, size: int, width: int, config: QuantizerConfig, options: Any) -> None:
        super().__init__()
        if size > LARGEST:
            raise GqvaeError(f"quantizer {config.name} would need a table of {size:,} codes; there may be {LARGEST:,}")
        self.size, self.commitment, self.from_centres = size, config.commitment, config.start == "kmeans"
        self.warmup_steps, self.step = config.warmup_steps, 0
        self.noise = torch.Generator()

    @classmethod
    def check(cls, config: Config, options: Any) -> None:
        """Raise GqvaeError for settings that cannot work together."""
        if not cls.movable and config.quantizer.revival == "reservoir":
            raise GqvaeError(
                f"quantizer.revival=reservoir moves single codes, and those of {config.quantizer.name} do not move by "
                "themselves: there are needs and none"
            )
        given = config.quantizer
        if given.start == "kmeans" and not given.warmup_steps:
            raise GqvaeError("quantizer.start is of no effect without warm-up")
        for name in _changed(given, QuantizerConfig(), cls.ignores(options)):
            raise GqvaeError(f"quantizer.{name} is of no effect with {given.name} and its options")
        if config.objective.name != "gates":
            ours = [f"options.{name}" for name in _changed(options, cls.Options(), cls.of_gates)]
            for name in ours + _changed(given, QuantizerConfig(), ("commitment",)):
                raise GqvaeError(f"quantizer.{name} is of no effect without objective.name=gates")

    @classmethod
    def ignores(cls, options: Any) -> tuple[str, ...]:
        """Shared settings that do nothing here with these options, and are refused. Not those that every comparison of
        quantizers may set, such as `code_width`."""
        return () if cls.movable else ("start",)

    @property
    def device(self) -> torch.device:
        return next(chain(self.parameters(), self.buffers())).device

    @property
    def exploring(self) -> bool:
        """Whether a step of training is taken, not a measurement in its course: only then may chance play a part."""
        return self.training and torch.is_grad_enabled()

    def begin_step(self, step: int, seed: int) -> None:
        """Told before each step of training. What is random in it (drawn from `noise`) depends on nothing else, so that
        a resumed run continues as if it had never stopped."""
        self.step = step
        self.noise.manual_seed((seed * 1_000_003 + step) % (1 << 63))

    def project(self, latents: Tensor) -> Tensor:
        """(..., D) -> (..., d), where codes live."""
        raise NotImplementedError

    def expand(self, codes: Tensor) -> Tensor:
        """(..., d) -> (..., D), what decoder and gater read."""
        raise NotImplementedError

    def points(self) -> Tensor:
        """(V, d): every code."""
        return self.codes

    def keys(self) -> tuple[Tensor, Tensor]:
        """(V, d), (V,): a latent p has the logits p @ keys.T + bias, the largest for the nearest code."""
        raise NotImplementedError

    def similarity(self, projected: Tensor) -> Tensor:
        """(N, d) -> (N, V) logits."""
        keys, bias = self.keys()
        return torch.addmm(bias, projected, keys.T)

    def loss(self, projected: Tensor, nearest: Tensor) -> Tensor:
        """(..., d), (..., d) -> (...), the terms that draw codes and latents together."""
        raise NotImplementedError

    def vectors(self, indices: Tensor) -> Tensor:
        """(...) code indices -> (..., D), as decoder and gater read them."""
        return self.expand(self.points()[indices])

    def table(self) -> Tensor:
        """(V, D): every code as the decoder reads it."""
        return self.expand(self.points())

    def penalty(self, latents: Tensor) -> Tensor:
        """(): what it asks for besides, of a batch (..., D) of latents."""
        return latents.new_zeros(())

    def statistics(self) -> dict[str, float]:
        """What it has to say for the metrics."""
        return {}

    def continuous(self, latents: Tensor) -> Tensor:
        """Through the bottleneck without snapping, (..., D) -> (..., D): the warm-up."""
        return self.expand(self.project(latents))

    def candidates(
        self, latents: Tensor, count: int, allowed: Tensor | None = None, besides: Tensor | None = None
    ) -> Candidates:
        """The `count` nearest codes of each latent.

        Args:
            latents: (..., D).
            allowed: (V,) True for the codes that may be chosen.
            besides: (..., E) further candidates of each latent, -1 for none; one that is among the nearest counts once.
        """
        projected, (keys, bias) = self.project(latents).flatten(0, -2), self.keys()
        most = min(count, self.size)
        log_total, indices = nearest_few(projected, keys, bias, most, allowed)
        idle = torch.zeros_like(indices, dtype=torch.bool)
        if besides is not None:
            more = besides.flatten(0, -2)
            known = (more < 0) | (more[..., None] == indices[:, None]).any(-1)
            idle = torch.cat([idle, known], -1)
            indices = torch.cat([indices, torch.where(known, indices[:, :1], more)], -1)  # one that is decoded anyway
        logits = (projected[:, None] * F.embedding(indices, keys)).sum(-1) + bias[indices]
        log_probs = (logits - log_total[:, None]).masked_fill(idle, -torch.inf)
        shape = (*latents.shape[:-1], indices.shape[1])
        return Candidates(log_probs.view(shape), indices.view(shape))

    def forward(self, latents: Tensor) -> Quantized:
        """Snap (..., D) to the nearest codes, straight-through (van den Oord et al., arXiv 1711.00937)."""
        projected = self.project(latents)
        indices = self.nearest(latents)
        found = self.points()[indices]
        loss = self.loss(projected, found)
        return Quantized(self.expand(self.connect(projected, found)), indices, loss, loss.detach())

    def nearest(self, latents: Tensor, allowed: Tensor | None = None) -> Tensor:
        """(..., D) -> (...): the nearest code of each latent, of those `allowed` (V,)."""
        return nearest(self.project(latents).flatten(0, -2), *self.keys(), allowed).view(latents.shape[:-1])

    def connect(self, projected: Tensor, nearest: Tensor) -> Tensor:
        """(..., d), (..., d) -> (..., d): the nearest codes, with a gradient that reaches the latents."""
        return projected + (nearest - projected).detach()

    def assign(self, latents: Tensor, indices: Tensor, weights: Tensor) -> None:
        """Told after each step which codes (N, M) each latent (N, D) stood for, how surely (N, M). For averages."""

    @torch.no_grad()
    def replace(self, rows: Tensor, latents: Tensor) -> None:
        """Set the codes `rows` (n,) from latents (n, D), if they are `movable`."""
        self.codes[rows] = self.project(latents)

    @torch.no_grad()
    def start(self, latents: Tensor, generator: torch.Generator) -> None:
        """Told when warm-up ends, with a sample of its latents (n, D): where the codes begin."""
        if not self.movable:
            return
        if self.from_centres:
            chosen = kmeans(latents, self.size, generator)
        else:
            order = torch.randperm(len(latents), generator=generator)[: self.size]
            chosen = latents[order.to(latents.device)]
        self.replace(torch.arange(len(chosen), device=latents.device), chosen)


def _changed(given: Any, usual: Any, names: Iterable[str]) -> list[str]:
    return [name for name in names if getattr(given, name) != getattr(usual, name)]
