"""The files of one shard."""

from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from gqvae.errors import GqvaeError
from gqvae.files import PARTIAL, file_digest, reporting_os_errors, sync
from gqvae.shards.index import Maker, Shard

_MOST_IN_ROW = 1 << 26  # ids: a row of Parquet is held in memory, twice


@dataclass(frozen=True)
class EncodedBatch:
    """The ids of a batch, end to end, and how many each document, or part of one, has."""

    shard: int
    ids: "array[int]"
    lengths: "array[int]"
    bytes: int
    corpus_sha256: str
    goes_on: bool


def write_shard(folder: Path, number: int, maker: Maker, parts: Iterable[EncodedBatch]) -> Shard:
    """Write one shard and put it in its place when it is whole."""
    names = maker.names(number)
    partial_paths = [folder / (name + PARTIAL) for name in names]
    opened: Callable[..., AbstractContextManager[Callable[[EncodedBatch], None]]]
    opened = _bin if maker.format == "bin" else _parquet
    documents = tokens = size = 0
    with reporting_os_errors(folder), opened(maker, *partial_paths) as write:
        for part in parts if maker.format == "bin" else _whole(parts):
            write(part)
            documents += len(part.lengths) - part.goes_on
            tokens, size = tokens + len(part.ids), size + part.bytes
            corpus_sha256 = part.corpus_sha256
    with reporting_os_errors(folder):
        files = {name: file_digest(path) for name, path in zip(names, partial_paths, strict=True)}
        for name, path in zip(names, partial_paths, strict=True):
            sync(path)
            path.replace(folder / name)
        sync(folder)
    return Shard(documents, tokens, size, corpus_sha256, files)


def _whole(parts: Iterable[EncodedBatch]) -> Iterator[EncodedBatch]:
    """The parts of a long document put together: a row of Parquet is written at once."""
    held: EncodedBatch | None = None
    for part in parts:
        if held and len(held.ids) > _MOST_IN_ROW:
            raise GqvaeError(f"a document of over {_MOST_IN_ROW:,} tokens is too long for Parquet: take the format bin")
        if held:
            held.ids.extend(part.ids)
            held.lengths[-1] += part.lengths[0]
            held.lengths.extend(part.lengths[1:])
        held = replace(part, ids=held.ids, lengths=held.lengths, bytes=held.bytes + part.bytes) if held else part
        if not held.goes_on:
            yield held
            held = None


@contextmanager
def _bin(maker: Maker, ids: Path, offsets: Path) -> Iterator[Callable[[EncodedBatch], None]]:
    import numpy

    lengths, goes_on = array("q", [0]), False
    with ids.open("wb") as file:

        def write(part: EncodedBatch) -> None:
            nonlocal goes_on
            file.write(numpy.asarray(part.ids, dtype=maker.dtype).data)  # `tofile` does not say what went wrong
            if goes_on:
                lengths[-1] += part.lengths[0]
            lengths.extend(part.lengths[goes_on:])
            goes_on = part.goes_on

        yield write
    with offsets.open("wb") as file:
        numpy.save(file, numpy.cumsum(lengths, dtype="<i8"))


@contextmanager
def _parquet(maker: Maker, path: Path) -> Iterator[Callable[[EncodedBatch], None]]:
    import numpy
    import pyarrow
    import pyarrow.parquet

    kind = pyarrow.uint16() if maker.dtype == "<u2" else pyarrow.uint32()
    schema = pyarrow.schema({"ids": pyarrow.list_(kind)})
    with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd") as file:

        def write(part: EncodedBatch) -> None:
            offsets = numpy.cumsum([0, *part.lengths], dtype=numpy.int32)
            column = pyarrow.ListArray.from_arrays(offsets, pyarrow.array(numpy.asarray(part.ids, maker.dtype)))
            file.write_table(pyarrow.table([column], schema=schema))

        yield write
