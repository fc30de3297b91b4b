"""Token shards: a corpus as ids on disk, for whoever trains a language model on them.

    index.json          what made the shards, and the documents, tokens, bytes and hashes of each
    00000.bin           the ids of shard 0 end to end: little-endian uint16, or uint32 beyond 65,536 ids
    00000.offsets.npy   int64, one more than the shard has documents: document i is ids[offsets[i] : offsets[i + 1]]
    00000.parquet       in the place of both, if so asked: a row a document, its ids in the column `ids`

A document ends with the id `end`, if that is not null; no other special id occurs. `gqvae.encoding` writes them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gqvae.errors import GqvaeError
from gqvae.files import digest, file_digest, read_json, write_json

if TYPE_CHECKING:
    import numpy
    import numpy.typing

    Ids = numpy.typing.NDArray[numpy.uint16] | numpy.typing.NDArray[numpy.uint32]
    Offsets = numpy.typing.NDArray[numpy.int64]

INDEX = "index.json"
FORMATS = ("bin", "parquet")
_FORMAT, _VERSION = "gqvae-shards", 1


@dataclass(frozen=True)
class Maker:
    """What decides the bytes of the shards, beside the text.

    tokenizer: its name. sha256, vocab_size: of its file. end: the id after every document, or None.
    format: one of FORMATS. shard_bytes: the most text in a shard, see `gqvae.encoding`. gqvae: its version.
    """

    tokenizer: str
    sha256: str
    vocab_size: int
    end: int | None
    format: str
    shard_bytes: int
    gqvae: str

    @property
    def dtype(self) -> str:
        """The type of an id in a .bin file, as numpy calls it."""
        return "<u2" if self.vocab_size <= 1 << 16 else "<u4"

    def names(self, number: int) -> list[str]:
        """The files of shard `number`, 0 being the first."""
        endings = ("bin", "offsets.npy") if self.format == "bin" else ("parquet",)
        return [f"{number:05}.{ending}" for ending in endings]


@dataclass(frozen=True)
class Shard:
    """One finished shard.

    documents, tokens: in it. bytes: of their text. corpus_sha256: of all text so far (`gqvae.corpus.TextHash`).
    files: the SHA-256 of each of its files.
    """

    documents: int
    tokens: int
    bytes: int
    corpus_sha256: str
    files: dict[str, str]


@dataclass(frozen=True)
class Index:
    """The content of index.json. `complete` once the text has been encoded to its end."""

    maker: Maker
    shards: list[Shard]
    complete: bool

    def write(self, folder: Path) -> None:
        about = {"format": _FORMAT, "version": _VERSION, "complete": self.complete, "maker": asdict(self.maker)}
        content = about | {"shards": [asdict(shard) for shard in self.shards]}
        write_json(folder / INDEX, content | {"sha256": digest(content)})

    @classmethod
    def read(cls, folder: Path) -> "Index":
        """Raises GqvaeError for a file that is missing, damaged or not ours."""
        path = folder / INDEX
        found = read_json(path)
        try:
            if (found["format"], found["version"]) != (_FORMAT, _VERSION):
                raise ValueError(f"format {found['format']!r}, version {found['version']!r}")
            if found.pop("sha256") != digest(found):
                raise ValueError("its sha256 does not match: it was changed or damaged")
            shards = [Shard(**shard) for shard in found["shards"]]
            index = cls(Maker(**found["maker"]), shards, found["complete"] is True)
            index._check()
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise GqvaeError(f"{path} is not an index of token shards ({error})") from error
        return index

    def _check(self) -> None:
        """A right hash proves no right content: whoever forges the one forges the other."""
        maker = self.maker
        if type(maker.vocab_size) is not int or maker.format not in FORMATS:
            raise ValueError(f"vocab_size {maker.vocab_size!r}, format {maker.format!r}")
        if maker.end is not None and (type(maker.end) is not int or not 0 <= maker.end < maker.vocab_size):
            raise ValueError(f"end {maker.end!r}")
        for number, shard in enumerate(self.shards):
            sizes = shard.documents, shard.tokens, shard.bytes
            if not all(type(size) is int and size >= 0 for size in sizes) or set(shard.files) != set(
                maker.names(number)
            ):
                raise ValueError(f"shard {number}: sizes {sizes}, files {list(shard.files)[:3]}")


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

    def __len__(self) -> int:
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
        for number in range(len(self)):
            ids, offsets = self.ids(number), self.offsets(number)
            for start, end in pairwise(offsets):
                yield ids[start:end]

    def verify(self) -> None:
        """Raises GqvaeError where a file is not what was written."""
        check_files(self.folder, self._index.shards)

    def _path(self, number: int, suffix: str) -> Path:
        if not 0 <= number < len(self):
            raise IndexError(f"there are {len(self)} shards, the first is 0: no shard {number}")
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


def check_files(folder: Path, shards: list[Shard]) -> None:
    """Raises GqvaeError where a file of these shards is missing or not what was written."""
    for shard in shards:
        for name, expected in shard.files.items():
            if not (folder / name).is_file() or file_digest(folder / name) != expected:
                raise GqvaeError(f"{folder / name} is missing or damaged: encode again to another folder")
