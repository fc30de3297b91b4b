"""Distinct pretokens and their counts, as batches without padding and as weighted samples."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gqvae.learn.alphabet import SymbolTable


def by_length(pieces: Sequence[str]) -> dict[int, list[int]]:
    """Indices of the pieces of each length, lengths rising."""
    groups: dict[int, list[int]] = {}
    for index, piece in enumerate(pieces):
        groups.setdefault(len(piece), []).append(index)
    return dict(sorted(groups.items()))


def as_tensor(pieces: Sequence[str]) -> Tensor:
    """Pieces of one length T -> (B, T) integers."""
    flat = np.frombuffer("".join(pieces).encode("utf-32-le"), dtype="<u4").reshape(len(pieces), -1)
    return torch.from_numpy(flat.astype(np.int64))


class Batches:
    """Random batches of pretokens of one length, drawn by count to a power.

    A length is drawn by the symbols its pretokens weigh, so that in the long run each pretoken is seen in proportion to
    count ** exponent, whatever its length.
    """

    def __init__(self, table: SymbolTable, exponent: float, batch_symbols: int) -> None:
        self.batch_symbols = batch_symbols
        groups = by_length(table.pieces)
        weights = torch.tensor(table.counts, dtype=torch.double) ** exponent
        self.lengths = list(groups)
        self.pieces = [as_tensor([table.pieces[i] for i in group]) for group in groups.values()]
        # kept apart: the last of `cumulative`, added in another order, differs in the last digits
        self.sums = [weights[group].sum() for group in groups.values()]
        self.cumulative = [weights[group].cumsum(0) for group in groups.values()]
        self.length_weights = torch.stack([n * total for n, total in zip(self.lengths, self.sums, strict=True)])

    def draw(self, generator: torch.Generator) -> Tensor:
        """(B, T) with B * T about `batch_symbols`."""
        group = int(torch.multinomial(self.length_weights, 1, generator=generator))
        count = max(1, self.batch_symbols // self.lengths[group])
        # inverse transform rather than multinomial, which takes at most 2 ** 24 categories
        places = torch.rand(count, generator=generator, dtype=torch.double) * self.sums[group]
        cumulative = self.cumulative[group]
        return self.pieces[group][torch.searchsorted(cumulative, places).clamp(max=len(cumulative) - 1)]


@dataclass(frozen=True)
class Sample:
    """Distinct pretokens that stand for a whole table."""

    pieces: list[str]
    weights: list[float]
    """Occurrences each piece stands for."""
    bytes: float
    """Bytes of all these occurrences."""

    def weighted(self) -> list[tuple[str, float]]:
        """Each piece with its weight."""
        return list(zip(self.pieces, self.weights, strict=True))

    @classmethod
    def whole(cls, table: SymbolTable) -> "Sample":
        """Every piece, for what it is."""
        return cls(table.pieces, table.counts.tolist(), table.total_bytes)

    @classmethod
    def of(cls, table: SymbolTable, size: int, generator: torch.Generator) -> "Sample":
        """About `size` pieces, the frequent ones surely, a rare one by chance and then weighted up: totals stay
        unbiased (Poisson sampling with probability proportional to the root of the count)."""
        if len(table.pieces) <= size:
            return cls.whole(table)
        counts = torch.tensor(table.counts, dtype=torch.double)
        roots = counts.sqrt()
        chance = (size * roots / roots.sum()).clamp(max=1.0)
        drawn = torch.rand(len(chance), generator=generator, dtype=torch.double) < chance
        chosen = torch.nonzero(drawn)[:, 0]
        weights, rows = (counts / chance)[chosen].tolist(), chosen.tolist()
        size_in_bytes = sum(len(table.texts[row]) * weight for row, weight in zip(rows, weights, strict=True))
        return cls([table.pieces[row] for row in rows], weights, size_in_bytes)
