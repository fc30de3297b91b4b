"""The sum of many counts."""

from typing import TYPE_CHECKING

from gqvae.errors import GqvaeError
from gqvae.pretokens.pieces import Counts

if TYPE_CHECKING:
    import numpy
    import pyarrow
    from numpy.typing import NDArray

_MOST = (1 << 63) - 1  # what an int64 holds
_PENDING = 1 << 20  # strings to wait for at least before they are added up


class Tally:
    """How often each byte string was seen, in all counts that were added.

    Strings wait until there are as many as distinct ones, so that adding up takes time linear in what is added and
    memory linear in what is distinct.
    """

    def __init__(self) -> None:
        self._total = 0
        self._parts: list[Counts] = []
        self._waiting, self._distinct = 0, 0

    def add(self, found: Counts) -> None:
        """Raises GqvaeError where the counts would exceed 64 bits."""
        self._total += _exact_sum(found.counts)
        if self._total > _MOST:
            raise GqvaeError(f"{self._total} pretokens are more than a count of 64 bits holds: count less text")
        self._parts.append(found)
        self._waiting += len(found.counts)
        if self._waiting > max(_PENDING, self._distinct):
            self._add_up()

    def rows(self) -> "pyarrow.Table":
        """The distinct strings, `piece`, most frequent first and equally frequent ones by bytes, and their `count`."""
        import pyarrow
        import pyarrow.compute

        self._add_up()
        table = pyarrow.table({"piece": self._parts[0].pieces, "count": self._parts[0].counts})
        order = pyarrow.compute.sort_indices(table, sort_keys=[("count", "descending"), ("piece", "ascending")])
        return table.take(order)

    def _add_up(self) -> None:
        import numpy
        import pyarrow

        strings = pyarrow.chunked_array([part.pieces for part in self._parts], pyarrow.large_binary())
        encoded = strings.dictionary_encode().chunks
        distinct = encoded[0].dictionary if encoded else pyarrow.array([], pyarrow.large_binary())
        sums = numpy.zeros(len(distinct), numpy.int64)
        for chunk, part in zip(encoded, self._parts, strict=True):
            numpy.add.at(sums, chunk.indices.to_numpy(), part.counts)
        self._parts, self._waiting, self._distinct = [Counts(distinct, sums)], 0, len(distinct)


def _exact_sum(counts: "NDArray[numpy.int64]") -> int:
    """The sum as a Python integer, without the wrap of numpy's. At most 2**31 counts."""
    return (int((counts >> 32).sum()) << 32) + int((counts & 0xFFFFFFFF).sum())
