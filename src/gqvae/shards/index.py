"""index.json: what made the shards in a folder, and what each of them must be."""

from dataclasses import asdict, dataclass
from pathlib import Path

from gqvae.errors import GqvaeError
from gqvae.files import digest, file_digest, read_json, write_json

INDEX = "index.json"
FORMATS = ("bin", "parquet")
_FORMAT, _VERSION = "gqvae-shards", 1


@dataclass(frozen=True)
class Maker:
    """What decides the bytes of the shards, beside the text.

    tokenizer: its name. sha256, vocab_size: of its file. end: the id after every document, or None.
    format: one of FORMATS. shard_bytes: the most text in a shard, see `gqvae.shards.encoding`. gqvae: its version.
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


def check_files(folder: Path, shards: list[Shard]) -> None:
    """Raises GqvaeError where a file of these shards is missing or not what was written."""
    for shard in shards:
        for name, expected in shard.files.items():
            if not (folder / name).is_file() or file_digest(folder / name) != expected:
                raise GqvaeError(f"{folder / name} is missing or damaged: encode again to another folder")
