"""One source -> its documents: plain text, JSON lines, Parquet, compressed files, remote files, data sets.

The readers know nothing of skipping: an item is a document or the error that says why there is none at that
place, and `gqvae.corpus.Corpus` decides what happens to errors.
"""

import gzip
import importlib
import io
import json
import os
import stat
import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO, Any, cast
from urllib.parse import urlsplit

from gqvae.corpus.documents import Document, Gathered, decode
from gqvae.errors import GqvaeError, to_install

STDIN = "-"
SUFFIXES = (".txt", ".jsonl", ".txt.gz", ".jsonl.gz", ".txt.zst", ".jsonl.zst", ".parquet")
MAX_LINE_BYTES = 1 << 29  # of .jsonl: a parsed line can take twenty times its bytes
_TEXT = ("string", "large_string", "string_view", "binary", "large_binary", "binary_view", "fixed_size_binary")
"""The types of a column of text, as Arrow calls them."""
_READ_ERRORS = (OSError, EOFError, zlib.error)

_LINE = 1 << 20  # bytes of a line, or of a part of it, that are read at once

Item = Document | GqvaeError


def is_url(source: str) -> bool:
    return "://" in source


def suffix_of(source: str) -> str | None:
    """The known suffix of a path or URL (whatever its case), or None."""
    name = (urlsplit(source).path if is_url(source) else source).lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), None)


def read_documents(source: str, separator: str | None, key: str) -> Iterator[Item]:
    """The items of one source; a source that cannot be read (further) ends with an error as its last item."""
    # Remote file systems raise exceptions of many kinds; local reading only these.
    expected = Exception if is_url(source) else _READ_ERRORS
    try:
        if source.startswith("hf://"):
            yield from _from_hugging_face(source, key)
            return
        kind, _, compression = (suffix_of(source) or ".txt")[1:].partition(".")
        state = _state(source)
        with ExitStack() as stack:
            stream = _open(source, compression, stack)
            if kind == "txt":
                yield from _from_text(stream, source, separator)
            elif kind == "jsonl":
                yield from _from_jsonl(stream, source, key)
            else:
                yield from _from_parquet(stream, source, key)
        if _state(source) != state:
            yield GqvaeError(f"{source} changed while it was read: start again when it is complete")
    except GqvaeError:
        raise
    except expected as error:
        yield GqvaeError(f"cannot read {source}: {getattr(error, 'strerror', None) or error}")


def _state(source: str) -> tuple[int, ...] | None:
    """What changes with a local file; None for what is not one."""
    if source == STDIN or is_url(source):
        return None
    found = os.stat(source)
    return (found.st_ino, found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


def _open(source: str, compression: str, stack: ExitStack) -> IO[bytes]:
    stream: IO[bytes]
    if source == STDIN:
        stream = sys.stdin.buffer
    elif is_url(source):
        stream = io.BufferedReader(stack.enter_context(optional_module("fsspec", source).open(source, "rb")))
    else:
        stream = stack.enter_context(open(source, "rb"))  # noqa: SIM115 (the stack closes it)
    if compression == "gz":
        return cast(IO[bytes], stack.enter_context(gzip.open(stream)))
    if compression == "zst":
        return io.BufferedReader(_ZstdReader(stream, optional_module("zstandard", source)), 1 << 17)
    return stream


class _ZstdReader(io.RawIOBase):
    """Decompressed bytes of all frames of a zstd file.

    zstandard's own stream reader takes a file that was cut off for a complete one (measured with 0.25: it
    returned 262,144 of 700,000 bytes and no error), so the end of every frame is checked here.
    """

    def __init__(self, stream: IO[bytes], zstandard: Any) -> None:
        self._stream, self._zstandard = stream, zstandard
        self._frame: Any = None
        self._rest = b""  # compressed bytes that follow the frame that just ended
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            chunk = self._rest or self._stream.read(1 << 10)  # zstd makes up to 32,768 bytes of one
            if not chunk and self._frame is None:
                return 0
            self._ready = memoryview(self._decompress(chunk))
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size

    def _decompress(self, chunk: bytes) -> bytes:
        if not chunk:
            raise EOFError("the zstd stream ends in the middle of a frame")
        if self._frame is None:
            # 2 GiB windows are what `zstd --long=31` writes; memory is only taken when a frame asks for it
            self._frame = self._zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()
        try:
            data: bytes = self._frame.decompress(chunk)
        except self._zstandard.ZstdError as error:
            raise OSError(str(error)) from error
        self._rest = self._frame.unused_data if self._frame.eof else b""
        self._frame = None if self._frame.eof else self._frame
        return data


def _from_text(stream: IO[bytes], source: str, separator: str | None) -> Iterator[Item]:
    mark = None if separator is None else separator.encode()
    document, first = Gathered(), 1
    number, at_start = 0, True
    while line := stream.readline(_LINE):  # or a part of a line
        number += at_start
        if mark and at_start and line.startswith(mark) and line.removesuffix(b"\n").removesuffix(b"\r") == mark:
            yield document.finish(source, first)
            document, first = Gathered(), number + 1
        else:
            document.add(line)
        at_start = line.endswith(b"\n")
    yield document.finish(source, first)


def _from_jsonl(stream: IO[bytes], source: str, key: str) -> Iterator[Item]:
    for number, line in enumerate(_lines(stream, MAX_LINE_BYTES), 1):
        if number == 1:  # a byte order mark here belongs to the file, not to a text
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line.strip():
            continue
        if len(line) > MAX_LINE_BYTES:
            yield GqvaeError(f"{source}:{number}: a line of more than {MAX_LINE_BYTES} bytes")
            continue
        text: Item = decode(line, source, number)
        if isinstance(text, str):
            try:
                text = _field(json.loads(text), key, f"{source}:{number}")
            except (ValueError, RecursionError) as error:
                text = GqvaeError(f"{source}:{number}: not valid JSON: {error}")
        yield text


def _lines(stream: IO[bytes], most: int) -> Iterator[bytes]:
    """The lines of a stream; of one longer than `most` bytes no more than that and one."""
    while line := stream.readline(most + 1):
        yield line
        while line and not line.endswith(b"\n"):
            line = stream.readline(_LINE)


def _from_parquet(stream: IO[bytes], source: str, key: str) -> Iterator[Item]:
    arrow, parquet = optional_module("pyarrow", source), optional_module("pyarrow.parquet", source)
    row = 0
    try:
        file = parquet.ParquetFile(stream)
        if key not in file.schema_arrow.names:
            yield GqvaeError(f"{source}: no column {key!r}; there are {', '.join(file.schema_arrow.names)}")
            return
        kind = file.schema_arrow.field(key).type
        if not _is_text(arrow, kind.value_type if arrow.types.is_dictionary(kind) else kind):
            yield GqvaeError(f"{source}: column {key!r} is {kind}, not text")
            return
        for batch in file.iter_batches(batch_size=1024, columns=[key]):
            # As bytes, so that text that is not UTF-8 is seen by the same eyes as everywhere else.
            for value in batch.column(0).cast(arrow.large_binary()).to_pylist():
                row += 1
                where = f"{source}: row {row}"
                yield GqvaeError(f"{where}: {key!r} is null") if value is None else decode(value, where, 1)
    except (arrow.ArrowException, UnicodeDecodeError) as error:  # the latter for the names of columns
        raise OSError(str(error)) from error


def _is_text(arrow: Any, kind: Any) -> bool:
    return any(getattr(arrow.types, f"is_{name}")(kind) for name in _TEXT)


def _from_hugging_face(source: str, key: str) -> Iterator[Item]:
    name, _, split = source.removeprefix("hf://").partition(":")
    owner_and_name, config = "/".join(name.split("/")[:2]), "/".join(name.split("/")[2:])
    load_dataset = optional_module("datasets", source).load_dataset
    rows = load_dataset(owner_and_name, config or None, split=split or "train", streaming=True)
    for number, row in enumerate(rows, 1):
        yield _field(row, key, f"{source}: row {number}")


def _field(record: Any, key: str, where: str) -> Item:
    if not isinstance(record, dict):
        return GqvaeError(f"{where}: not a JSON object")
    if key not in record:
        there = ", ".join(sorted(map(str, record))) or "none"
        return GqvaeError(f"{where}: no field {key!r}; there are: {there}")
    text = record[key]
    if not isinstance(text, str):
        return GqvaeError(f"{where}: field {key!r} is {type(text).__name__}, not text")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return GqvaeError(f"{where}: field {key!r} has the lone surrogate {text[error.start]!r}")
    return text


def optional_module(module: str, source: str) -> Any:
    """Import a package that the base install does not bring."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise GqvaeError(f"{source} needs {module.partition('.')[0]}: {to_install(module)}") from error
