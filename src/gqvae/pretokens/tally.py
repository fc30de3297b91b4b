"""The sum of many counts, on disk where it outgrows memory."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gqvae.errors import GqvaeError
from gqvae.pretokens.pieces import Counts
from gqvae.pretokens.table import ROWS

if TYPE_CHECKING:
    import numpy
    import pyarrow
    from numpy.typing import NDArray

MEMORY = 1 << 31
"""Bytes of memory for counting, if nothing else is said."""
LEAST_MEMORY = 400_000_000
_MOST = (1 << 63) - 1  # what an int64 holds
_PENDING = 1 << 20  # strings to wait for at least before they are added up
_LIBRARIES = 250_000_000  # bytes that Python, numpy, Arrow and a few batches of text take
# Of the rest: what distinct strings may take before they go to disk. While as many wait, adding up needs, beside both,
# as much again for the new ones and several times that for the hash table to find them in (measured).
_SHARE = 12

_SUM = """
    select piece, sum("count")::bigint as "count" from read_parquet($files)
    where hash(piece) % $parts = $part group by piece
"""
_SORTED = 'select piece, "count" from read_parquet($files) order by "count" desc, piece'


class Tally:
    """How often each byte string was seen, in all counts that were added.

    Strings wait until there are as many as distinct ones, so that adding up takes time linear in what is added and
    memory linear in what is distinct. What outgrows the memory goes to files, and DuckDB, which can do that in little
    memory, adds those up at the end: the result is the same. The files go at the end of the `with` block.

    Args:
        memory: in bytes, about; at least LEAST_MEMORY.
        folder: where to put the files; by default where temporary files go.

    Raises:
        GqvaeError: the memory is too small.
    """

    def __init__(self, memory: int | None = None, folder: Path | None = None) -> None:
        memory = MEMORY if memory is None else memory
        if memory < LEAST_MEMORY:
            raise GqvaeError(f"{memory:,} bytes of memory are too few to count in: give at least {LEAST_MEMORY:,}")
        self._memory = memory - _LIBRARIES  # for strings and counts
        self._limit = self._memory // _SHARE
        self._folder = folder
        self._spilled: tempfile.TemporaryDirectory[str] | None = None
        self._files: list[Path] = []
        self._total = 0
        self._parts: list[Counts] = []
        self._distinct = self._waiting = self._bytes = 0  # strings added up, waiting, and bytes that wait

    def __enter__(self) -> "Tally":
        return self

    def __exit__(self, *_: object) -> None:
        if self._spilled:
            self._spilled.cleanup()

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
        if self._parts or not self._files:
            self._add_up()
        if not self._files:
            return self._rows_in_memory()
        if self._parts:
            self._spill()
        return self._rows_from_disk()

    def _add_up(self) -> None:
        import numpy
        import pyarrow

        strings = pyarrow.chunked_array([part.pieces for part in self._parts], pyarrow.large_binary())
        encoded = strings.dictionary_encode().chunks
        distinct = encoded[0].dictionary if encoded else pyarrow.array([], pyarrow.large_binary())
        sums = numpy.zeros(len(distinct), numpy.int64)
        for chunk, part in zip(encoded, self._parts, strict=True):
            numpy.add.at(sums, chunk.indices.to_numpy(), part.counts)
        self._parts, self._distinct = [Counts(distinct, sums)], len(distinct)
        self._waiting = self._bytes = 0
        if _size(self._parts[0]) > self._limit:
            self._spill()

    def _spill(self) -> None:
        import pyarrow.parquet

        if self._spilled is None:
            self._spilled = tempfile.TemporaryDirectory(prefix=".counting.", dir=self._folder)
        path = Path(self._spilled.name) / f"{len(self._files)}.parquet"
        (all_,) = self._parts
        table = pyarrow.table({"piece": all_.pieces, "count": all_.counts})
        pyarrow.parquet.write_table(table, path, row_group_size=1 << 17, use_dictionary=False)
        self._files.append(path)
        self._parts, self._distinct = [], 0

    def _rows_in_memory(self) -> "Iterator[pyarrow.Table]":
        import pyarrow
        import pyarrow.compute

        (all_,) = self._parts
        table = pyarrow.table({"piece": all_.pieces, "count": all_.counts})
        order = pyarrow.compute.sort_indices(table, sort_keys=[("count", "descending"), ("piece", "ascending")])
        for start in range(0, len(table), ROWS):
            yield table.take(order[start : start + ROWS])

    def _rows_from_disk(self) -> "Iterator[pyarrow.Table]":
        import duckdb
        import pyarrow

        assert self._spilled
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": f"{self._memory * 2 // 3}B",
            "temp_directory": self._spilled.name,
            "threads": 1,
            "preserve_insertion_order": False,
        }
        # DuckDB runs out of a small memory when it groups very many strings at once (measured: 10^8 in 480 MB), so they
        # are dealt by their hash to sums that fit; sorting those it does on disk.
        parts = 1 + len(self._files) * self._limit * 4 // self._memory
        files, sums = list(map(str, self._files)), [f"{self._spilled.name}/sum-{part}.parquet" for part in range(parts)]
        schema = pyarrow.schema({"piece": pyarrow.large_binary(), "count": pyarrow.int64()})
        waiting = schema.empty_table()
        try:
            with duckdb.connect(config=settings) as engine:
                for part in range(parts):
                    found: Any = engine.sql(_SUM, params={"files": files, "parts": parts, "part": part})
                    found.write_parquet(sums[part])
                found = engine.sql(_SORTED, params={"files": sums})
                for batch in found.to_arrow_reader(1 << 16):
                    waiting = pyarrow.concat_tables([waiting, pyarrow.table(batch).cast(schema)])
                    if len(waiting) >= ROWS:
                        yield waiting[:ROWS]
                        waiting = waiting[ROWS:]
        except duckdb.Error as error:
            raise GqvaeError(f"adding up what was counted failed ({error}): give it more memory or disk") from error
        if len(waiting):
            yield waiting


def _size(found: Counts) -> int:
    return int(found.pieces.nbytes) + found.counts.nbytes


def _exact_sum(counts: "NDArray[numpy.int64]") -> int:
    """The sum as a Python integer, without the wrap of numpy's. At most 2**31 counts."""
    return (int((counts >> 32).sum()) << 32) + int((counts & 0xFFFFFFFF).sum())
