"""Bytes of a filter's stdin: cut into documents, or read as text."""

import os
import re
from collections.abc import Iterator
from typing import IO

from gqvae.errors import GqvaeError

_ESCAPE = re.compile(rb"\\(x[0-9A-Fa-f]{2}|.|$)", re.DOTALL)
_ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"0": b"\0", b"\\": b"\\"}


def unescape(argument: str) -> bytes:
    r"""Turn an argument with escapes into the bytes it stands for. Raises GqvaeError for an unknown escape.

    >>> unescape(r"\n\x00--\\"), unescape("ü")
    (b'\n\x00--\\', b'\xc3\xbc')
    """

    def replace(match: re.Match[bytes]) -> bytes:
        code = match[1]
        if len(code) == 3:
            return bytes([int(code[1:], 16)])
        if code not in _ESCAPED:
            raise GqvaeError(f"unknown escape {os.fsdecode(match[0])!s}; write \\\\ for a backslash")
        return _ESCAPED[code]

    return _ESCAPE.sub(replace, os.fsencode(argument))


def split_stream(stream: IO[bytes], between: bytes | None) -> Iterator[bytes]:
    """The documents of a stream, cut as `bytes.split(between)` cuts, in the memory of one of them.

    None: the whole stream is one document.
    """
    if between is None:
        yield stream.read()
        return
    pending = bytearray()
    searched = 0  # no separator starts before this place in `pending`
    while chunk := stream.read(1 << 20):
        pending += chunk
        while (end := pending.find(between, searched)) >= 0:
            yield bytes(pending[:end])
            del pending[: end + len(between)]
            searched = 0
        searched = max(0, len(pending) - len(between) + 1)
    yield bytes(pending)


def as_text(data: bytes) -> str:
    """Bytes of stdin as text. Raises GqvaeError where they are not UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise GqvaeError(f"stdin is not UTF-8: byte 0x{data[error.start]:02x} at {error.start}") from error
