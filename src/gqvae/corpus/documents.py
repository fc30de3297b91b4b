"""Documents of any length: a short one is a str, a long one waits on disk and is read block by block."""

import codecs
import tempfile
import weakref
from collections.abc import Iterator

from gqvae.errors import GqvaeError
from gqvae.files import reporting_os_errors, temporary_folder

LONG = 1 << 24
"""Bytes from which on a document is long."""
_BLOCK = 1 << 20  # bytes of a block


class LongDocument:
    """A document in a temporary file, which is gone with this object. Iterating yields its text in blocks.

    A block is about a MiB and ends anywhere between two characters. One iteration at a time: they share the file.
    """

    def __init__(self) -> None:
        with reporting_os_errors(temporary_folder()):
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 (closed with this object)
        weakref.finalize(self, self._file.close)
        self._size = 0

    def __len__(self) -> int:
        """Bytes."""
        return self._size

    def append(self, data: bytes | bytearray) -> None:
        with reporting_os_errors(temporary_folder()):
            self._size += self._file.write(data)
            self._file.flush()

    def __iter__(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")()
        self._file.seek(0)
        while data := self._file.read(_BLOCK):
            if text := decoder.decode(data):
                yield text
        decoder.decode(b"", final=True)

    def whole(self) -> str:
        """All of it, in memory."""
        return "".join(self)


Document = str | LongDocument


def blocks(document: Document) -> Iterator[str]:
    """The text of a document, in blocks if it is long."""
    return iter((document,)) if isinstance(document, str) else iter(document)


class Gathered:
    """A document that is being read."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._long: LongDocument | None = None

    def add(self, data: bytes) -> None:
        self._held += data
        if len(self._held) >= LONG:
            self._long = self._long or LongDocument()
            self._long.append(self._held)
            self._held = bytearray()

    def finish(self, source: str, line: int) -> Document | GqvaeError:
        """The document, or what is wrong with it. line: the number of its first line in `source`, from 1."""
        if self._long is None:
            return decode(bytes(self._held), source, line)
        self._long.append(self._held)
        try:
            for text in self._long:
                line += text.count("\n")
        except UnicodeDecodeError as error:
            return not_utf8(error, source, line)
        return self._long


def utf8(text: str, number: int) -> bytes:
    """Raises GqvaeError that names the document by its number where it has a lone surrogate."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        lone = error.object[error.start]
        raise GqvaeError(f"document {number} has the lone surrogate {lone!r}, which is not valid Unicode") from error


def decode(data: bytes, source: str, line: int) -> str | GqvaeError:
    """UTF-8 -> text. line: the number of the first line of `data` in its file, from 1."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        return not_utf8(error, source, line)


def not_utf8(error: UnicodeDecodeError, source: str, line: int) -> GqvaeError:
    """line: that of the first byte that was being decoded."""
    line += error.object.count(b"\n", 0, error.start)
    byte = error.object[error.start]
    return GqvaeError(f"{source}:{line}: not UTF-8 (byte 0x{byte:02x}); convert it or skip bad documents")
