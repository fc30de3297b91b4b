"""Token shards -> ids."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gqvae.errors import GqvaeError
from gqvae.shards.index import Index, check_files

if TYPE_CHECKING:
    import numpy
    import numpy.typing

    Ids = numpy.typing.NDArray[numpy.uint16] | numpy.typing.NDArray[numpy.uint32]
    Offsets = numpy.typing.NDArray[numpy.int64]


class Shards:
    """The shards in a folder, to read:

        shards = Shards("tokens")
        shards.ids(0)[1000:2025]        # a memory map: nothing is read that is not used
        for document in shards: ...     # the ids of one document after the other

    Raises:
        GqvaeError: there are none, or they are not finished.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._index = Index.read(self.folder)
        if not self._index.complete:
            raise GqvaeError(f"{folder} is not finished: repeat the command that began it with --resume")

    @property
    def vocab_size(self) -> int:
        """The number of ids of the tokenizer."""
        return self._index.maker.vocab_size

    @property
    def end(self) -> int | None:
        """The id at the end of every document, if there is one."""
        return self._index.maker.end

    @cached_property
    def documents(self) -> int:
        """How many there are."""
        return sum(shard.documents for shard in self._index.shards)

    @cached_property
    def tokens(self) -> int:
        """How many there are."""
        return sum(shard.tokens for shard in self._index.shards)

    @cached_property
    def bytes(self) -> int:
        """Bytes of the documents' text in UTF-8. A loss in nats a token times `tokens` / `bytes` is in nats a byte."""
        return sum(shard.bytes for shard in self._index.shards)

    def __len__(self) -> int:
        """The number of documents, over which iteration goes."""
        return self.documents

    @cached_property
    def count(self) -> int:
        """The number of shards."""
        return len(self._index.shards)

    def ids(self, number: int) -> "Ids":
        """All ids of shard `number`, 0 being the first: of .bin a memory map."""
        import numpy

        if self._index.maker.format == "parquet":
            return self._column(number).values.to_numpy()  # type: ignore[no-any-return]
        path = self._path(number, "bin")
        with _reading(path):
            kind = self._index.maker.dtype
            return numpy.memmap(path, kind, "r") if path.stat().st_size else numpy.empty(0, kind)

    def offsets(self, number: int) -> "Offsets":
        """Where the documents of shard `number` begin in its ids, and the end of the last."""
        import numpy

        if self._index.maker.format == "parquet":
            return self._column(number).offsets.to_numpy().astype(numpy.int64)  # type: ignore[no-any-return]
        path = self._path(number, "offsets.npy")
        with _reading(path):
            found: Offsets = numpy.load(path, mmap_mode="r")  # refuses pickles
            return found

    def __iter__(self) -> "Iterator[Ids]":
        """The ids of every document, in the order of the corpus."""
        for number in range(self.count):
            ids, offsets = self.ids(number), self.offsets(number)
            for start, end in pairwise(offsets):
                yield ids[start:end]

    def verify(self) -> None:
        """Raises GqvaeError where a file is not what was written."""
        check_files(self.folder, self._index.shards)

    def _path(self, number: int, suffix: str) -> Path:
        if not 0 <= number < self.count:
            raise IndexError(f"there are {self.count} shards, the first is 0: no shard {number}")
        return self.folder / f"{number:05}.{suffix}"

    def _column(self, number: int) -> Any:
        import pyarrow.parquet

        path = self._path(number, "parquet")
        with _reading(path):
            return pyarrow.parquet.read_table(path)["ids"].combine_chunks()


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError) as error:
        raise GqvaeError(f"{path} is missing or damaged ({error}): encode again to another folder") from error
