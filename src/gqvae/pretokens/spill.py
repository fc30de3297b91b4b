"""Counts that outgrow memory: on disk, and added up there by DuckDB."""

from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gqvae.arrow import integers
from gqvae.errors import GqvaeError
from gqvae.pretokens.pieces import Counts
from gqvae.pretokens.table import ROWS

if TYPE_CHECKING:
    import duckdb
    import pyarrow

# DuckDB runs out of a small memory when it groups very many strings at once (measured: 10^8 in 480 MB), so they are
# dealt by their hash to folders, and each of those is added up by itself. Sorting it does on disk.
_FOLDERS = 128
_DEAL = f'select piece, "count", hash(piece) % {_FOLDERS} as dealt from spilled'
_SUM = 'select piece, sum("count")::bigint as "count" from read_parquet($files) group by piece'
_SORTED = 'select piece, "count" from read_parquet($files) order by "count" desc, piece'


class Spill:
    """Counts in files in `folder`, which is this object's alone and somebody else's to remove.

    memory: in bytes, about, for what is done here.
    """

    def __init__(self, folder: Path, memory: int) -> None:
        import duckdb

        self._dealt, self._summed = folder / "dealt", folder / "summed"
        self._summed.mkdir()
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": f"{memory}B",
            "temp_directory": str(folder / "duckdb"),
            "threads": 1,
            "preserve_insertion_order": False,
        }
        self._engine = duckdb.connect(config=settings)

    def close(self) -> None:
        self._engine.close()

    def add(self, found: Counts) -> None:
        """Raises GqvaeError where the disk is full."""
        import pyarrow

        with _telling():
            self._engine.register("spilled", pyarrow.table({"piece": found.pieces, "count": integers(found.counts)}))
            self._engine.sql(_DEAL).write_parquet(str(self._dealt), partition_by=["dealt"], append=True)
            self._engine.unregister("spilled")

    def rows(self) -> "Iterator[pyarrow.Table]":
        """What was added, each string once: as `Tally.rows`."""
        import pyarrow

        schema = pyarrow.schema({"piece": pyarrow.large_binary(), "count": pyarrow.int64()})
        waiting = schema.empty_table()
        with _telling():
            for folder in sorted(self._dealt.iterdir()):
                self._read(_SUM, folder).write_parquet(str(self._summed / f"{folder.name}.parquet"))
            for batch in self._read(_SORTED, self._summed).to_arrow_reader(1 << 16):
                waiting = pyarrow.concat_tables([waiting, pyarrow.table(batch).cast(schema)])
                if len(waiting) >= ROWS:
                    yield waiting[:ROWS]
                    waiting = waiting[ROWS:]
        if len(waiting):
            yield waiting

    def _read(self, query: str, folder: Path) -> "duckdb.DuckDBPyRelation | Any":
        return self._engine.sql(query, params={"files": f"{escape(str(folder))}/*.parquet"})


@contextmanager
def _telling() -> Iterator[None]:
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        raise GqvaeError(f"adding up what was counted failed ({error}): give it more memory or disk") from error
