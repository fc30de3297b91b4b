"""The table of pretoken counts, and its file."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gqvae.arrow import column, integers, numbers
from gqvae.errors import GqvaeError
from gqvae.files import replacing
from gqvae.patterns import PATTERNS, cut, split

if TYPE_CHECKING:
    import numpy
    import numpy.typing
    import pyarrow

ROWS = 1 << 20
"""Rows of a row group in the file: with a fixed number the same table is the same file, however it was made."""
_ABOUT = b"gqvae"  # the key of what the file says of itself


@dataclass(frozen=True, eq=False)
class PretokenTable:
    """The distinct pretokens of a corpus and how often each occurs, most frequent first, ties by bytes.

    pieces: N distinct byte strings of 1..window bytes. counts: (N,) int64, positive.
    provenance: "documents", "bytes" and "corpus_sha256" of the text that was counted.
    """

    pieces: list[bytes]
    counts: "numpy.typing.NDArray[numpy.int64]"
    pattern: str
    window: int
    provenance: Mapping[str, Any]

    @classmethod
    def of(
        cls, rows: "Iterable[pyarrow.Table]", pattern: str, window: int, provenance: Mapping[str, Any]
    ) -> "PretokenTable":
        """From columns `piece` and `count` in the order of a table."""
        import numpy

        pieces, counts = [], [numpy.empty(0, numpy.int64)]
        for part in rows:
            pieces += part["piece"].to_pylist()
            counts.append(numbers(part["count"]))
        return cls(pieces, numpy.concatenate(counts), pattern, window, provenance)

    @property
    def total_bytes(self) -> int:
        """Bytes in the corpus."""
        return sum(len(piece) * count for piece, count in zip(self.pieces, self.counts.tolist(), strict=True))

    def recut(self, pattern: str, window: int) -> "PretokenTable":
        """The same text cut by another pattern and window, inside the pieces of this one."""
        import numpy

        counts: Counter[bytes] = Counter()
        for piece, count in zip(self.pieces, self.counts.tolist(), strict=True):
            for part in split(piece, pattern):
                for short in cut(part, window):
                    counts[short] += count
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        sums = numpy.array([count for _, count in ranked], numpy.int64)
        return PretokenTable([piece for piece, _ in ranked], sums, pattern, window, self.provenance)

    def save(self, path: Path) -> None:
        """Write Parquet: columns piece (binary) and count (int64); the rest as JSON in the metadata."""
        import pyarrow

        rows = pyarrow.table({"piece": column(self.pieces), "count": integers(self.counts)})
        tables = (rows[start : start + ROWS] for start in range(0, len(rows), ROWS))
        write_table(path, tables, self.pattern, self.window, self.provenance)

    @classmethod
    def load(cls, path: Path) -> "PretokenTable":
        """Read what `save` wrote. Raises GqvaeError for a file that is missing, damaged or not ours."""
        import pyarrow
        import pyarrow.parquet

        try:
            with pyarrow.parquet.ParquetFile(path) as file:
                columns = file.read()
            about = json.loads((columns.schema.metadata or {})[_ABOUT])
            pieces, counts = columns["piece"].to_pylist(), numbers(columns["count"])
            table = cls(pieces, counts, about["pattern"], about["window"], about["provenance"])
            table._check()
        except (OSError, pyarrow.ArrowException, KeyError, TypeError, ValueError) as error:
            raise GqvaeError(f"{path} is not a pretoken table ({error}); count the corpus again") from error
        return table

    def _check(self) -> None:
        if self.pattern not in PATTERNS or self.counts.dtype.name != "int64":
            raise ValueError(f"pattern {self.pattern!r}, counts of type {self.counts.dtype}")
        if not all(1 <= len(piece) <= self.window for piece in self.pieces):
            raise ValueError(f"a piece is empty or longer than {self.window} bytes")
        ranks = list(zip((-self.counts).tolist(), self.pieces, strict=True))
        if any(rank >= following for rank, following in pairwise(ranks)) or (ranks and ranks[-1][0] >= 0):
            raise ValueError("pieces are repeated or out of order, or counts not positive")
        if self.total_bytes != self.provenance["bytes"]:
            raise ValueError(f"{self.total_bytes} bytes counted, {self.provenance['bytes']} in the corpus")


def refuse_others(path: Path) -> None:
    """Raise GqvaeError if there is anything at `path` but a table of ours, or a file without content."""
    import pyarrow
    import pyarrow.parquet

    if path.is_dir():
        raise GqvaeError(f"{path} is a folder: name a file")
    if not path.exists() or (path.is_file() and not path.stat().st_size):
        return
    try:
        ours = path.is_file() and _ABOUT in (pyarrow.parquet.read_schema(path).metadata or {})
    except (OSError, pyarrow.ArrowException):
        ours = False
    if not ours:
        raise GqvaeError(f"{path} is no table of pretokens, and would be replaced: name another file")


def write_table(
    path: Path, rows: "Iterable[pyarrow.Table]", pattern: str, window: int, provenance: Mapping[str, Any]
) -> int:
    """Write what `PretokenTable.load` reads, given its rows in tables of ROWS; returns how many there are."""
    import pyarrow
    import pyarrow.parquet

    from gqvae import __version__

    about = {"gqvae": __version__, "pattern": pattern, "window": window, "provenance": dict(provenance)}
    schema = pyarrow.schema(
        {"piece": pyarrow.large_binary(), "count": pyarrow.int64()}, {_ABOUT: json.dumps(about, sort_keys=True)}
    )
    written = 0
    with replacing(path) as temporary, pyarrow.parquet.ParquetWriter(temporary, schema, compression="zstd") as file:
        for table in rows:
            file.write_table(table.combine_chunks().replace_schema_metadata(schema.metadata), row_group_size=ROWS)
            written += len(table)
    return written
