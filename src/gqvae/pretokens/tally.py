"""The sum of many counts, on disk where it outgrows memory."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

from gqvae import machine
from gqvae.arrow import column, integers, numbers
from gqvae.errors import GqvaeError
from gqvae.files import scratch
from gqvae.pretokens.pieces import Counts
from gqvae.pretokens.ranking import ranking
from gqvae.pretokens.spill import Spill
from gqvae.pretokens.table import ROWS

if TYPE_CHECKING:
    import numpy
    import pyarrow
    from numpy.typing import NDArray

MEMORY = 2_000_000_000
"""Bytes of memory for counting, if nothing else is said and that is no more than half of what the process may have."""
LEAST_MEMORY = 400_000_000
_MOST = (1 << 63) - 1  # what an int64 holds
_PENDING = 1 << 20  # strings to wait for at least before they are added up
_LIBRARIES = 250_000_000  # bytes that Python, numpy, Arrow and a few batches of text take
# Of the rest: what distinct strings may take before they go to disk. While as many wait, adding up needs, beside both,
# as much again for the new ones and several times that for the hash table to find them in (measured).
_SHARE = 12
_SORT = 250_000_000  # bytes in which DuckDB sorts 10^8 strings; in 125,000,000 it cannot (measured)
_SCRATCH = ".counting."


class Tally:
    """How often each byte string was seen, in all counts that were added.

    Strings wait until there are as many as distinct ones, so that adding up takes time linear in what is added and
    memory linear in what is distinct. What outgrows the memory goes to files, and DuckDB, which can do that in little
    memory, adds those up at the end: the result is the same. The files go at the end of the `with` block.

    Args:
        memory: in bytes, about; at least LEAST_MEMORY. By default MEMORY, or half of what the process may have if that
            is less.
        folder: where to put the files; by default where temporary files go.

    Raises:
        GqvaeError: the memory is too small.
    """

    def __init__(self, memory: int | None = None, folder: Path | None = None) -> None:
        memory = _default_memory() if memory is None else memory
        if memory < LEAST_MEMORY:
            raise GqvaeError(f"{memory:,} bytes of memory are too few to count in: give at least {LEAST_MEMORY:,}")
        self._memory = memory - _LIBRARIES  # for strings and counts
        self._limit = self._memory // _SHARE
        self._folder = folder
        self._open = ExitStack()
        self._spilled: Spill | None = None
        self._total = 0
        self._parts: list[Counts] = []
        self._distinct = self._waiting = self._bytes = 0  # strings added up, waiting, and bytes that wait

    def __enter__(self) -> "Tally":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def add(self, found: Counts) -> None:
        """Raises GqvaeError where the counts would exceed 64 bits."""
        self._total += _exact_sum(found.counts)
        if self._total > _MOST:
            raise GqvaeError(f"{self._total} pretokens are more than a count of 64 bits holds: count less text")
        self._parts.append(found)
        self._waiting += len(found.counts)
        self._bytes += _size(found)
        if self._waiting > max(_PENDING, self._distinct) or self._bytes > self._limit:
            self._add_up()

    def rows(self) -> "Iterator[pyarrow.Table]":
        """The distinct strings, `piece`, most frequent first and equally frequent ones by bytes, and their `count`, in
        tables of ROWS rows, the last shorter."""
        import pyarrow

        if self._parts or not self._spilled:
            self._add_up()
        if not self._spilled:
            return self._rows_in_memory()
        if self._parts:
            self._spill()
        pyarrow.default_memory_pool().release_unused()  # DuckDB has its own
        return self._spilled.rows()

    def _add_up(self) -> None:
        import numpy
        import pyarrow

        strings = pyarrow.chunked_array([part.pieces for part in self._parts], pyarrow.large_binary())
        encoded = strings.dictionary_encode().chunks
        distinct = encoded[0].dictionary if encoded else column([])
        sums = numpy.zeros(len(distinct), numpy.int64)
        for chunk, part in zip(encoded, self._parts, strict=True):
            numpy.add.at(sums, numbers(chunk.indices), part.counts)
        self._parts, self._distinct = [Counts(distinct, sums)], len(distinct)
        self._waiting = self._bytes = 0
        if _size(self._parts[0]) > self._limit:
            self._spill()

    def _spill(self) -> None:
        if self._spilled is None:
            folder = self._open.enter_context(scratch(self._folder, _SCRATCH))
            memory = min(self._memory, max(_SORT, self._memory // 2))
            self._spilled = self._open.enter_context(closing(Spill(folder, memory)))
        self._spilled.add(*self._parts)
        self._parts, self._distinct = [], 0

    def _rows_in_memory(self) -> "Iterator[pyarrow.Table]":
        import pyarrow

        (all_,) = self._parts
        table, order = pyarrow.table({"piece": all_.pieces, "count": integers(all_.counts)}), ranking(all_)
        for start in range(0, len(table), ROWS):
            yield table.take(integers(order[start : start + ROWS]))


def _default_memory() -> int:
    return max(LEAST_MEMORY, min(MEMORY, (machine.memory() or 2 * MEMORY) // 2))


def _size(found: Counts) -> int:
    return int(found.pieces.nbytes) + found.counts.nbytes


def _exact_sum(counts: "NDArray[numpy.int64]") -> int:
    """The sum as a Python integer, without the wrap of numpy's. At most 2**31 counts."""
    return (int((counts >> 32).sum()) << 32) + int((counts & 0xFFFFFFFF).sum())
