"""A filter's stdin, of any size: bytes cut into documents and encoded, lines of ids, or text."""

import codecs
import os
import re
from collections.abc import Iterable, Iterator
from typing import IO

from gqvae.errors import GqvaeError
from gqvae.patterns import check_broken, text_blocks
from gqvae.tokenizer import Tokenizer

_CHUNK = 1 << 20
_DIGITS = 4_300  # that Python takes for a number: what is longer is no id, cut or not

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


def split_stream(stream: IO[bytes], between: bytes | None) -> Iterator[Iterator[bytes]]:
    """The documents of a stream, cut as `bytes.split(between)` cuts; None: it is one.

    Each comes in parts of about a MiB, and is to be read to its end before the next.
    """
    parts = _parts(stream, between)
    for part, last in parts:
        yield _document(part, last, parts)


def _document(part: bytes, last: bool, parts: Iterator[tuple[bytes, bool]]) -> Iterator[bytes]:
    yield part
    while not last:
        part, last = next(parts)
        yield part


def _parts(stream: IO[bytes], between: bytes | None) -> Iterator[tuple[bytes, bool]]:
    """Parts of documents, and whether each is the last of its own."""
    pending = bytearray()
    held = len(between) - 1 if between else 0  # bytes that may begin a separator
    while chunk := stream.read(_CHUNK):
        pending += chunk
        *documents, pending = pending.split(between) if between else [pending]
        for document in documents:
            yield bytes(document), True
        if len(pending) > held:
            yield bytes(pending[: len(pending) - held]), False
            del pending[: len(pending) - held]
    yield bytes(pending), True


def encode_stream(tokenizer: Tokenizer, parts: Iterable[bytes]) -> Iterator[list[int]]:
    """`tokenizer.encode` of the bytes that `parts` join to, a few MiB at a time.

    Raises GqvaeError where the text has no boundary for `UNBROKEN` bytes.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    pending = ""
    for part in parts:
        pending += decoder.decode(part)
        *blocks, pending = text_blocks(pending, tokenizer.pattern, _CHUNK)
        yield from map(tokenizer.encode, map(_escaped, blocks))
        check_broken(len(_escaped(pending)), tokenizer.pattern)
    yield tokenizer.encode(_escaped(pending + decoder.decode(b"", final=True)))


def _escaped(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def ids_of_lines(stream: IO[bytes]) -> Iterator[tuple[int, list[int]]]:
    """Ids of lines of any length, some at a time, and the number of their line, from 1.

    Raises GqvaeError for what is not a line of ids.
    """
    number, held = 1, b""
    while (read := stream.readline(_CHUNK)) or held:
        words, whole = (held + read).split(), read[-1:].isspace() or len(read) < _CHUNK
        held = b"" if whole or not words or len(words[-1]) > _DIGITS else words.pop()
        try:
            yield number, list(map(_id, words))
        except ValueError as error:
            raise GqvaeError(f"stdin, line {number}: not a line of ids: {error}") from error
        number += read.endswith(b"\n")


def _id(word: bytes) -> int:
    if not word.isdigit():  # int() would take "+5" and "2_0" too
        raise ValueError(f"{word[:60]!r} is no id")
    return int(word)


def as_text(data: bytes) -> str:
    """Raises GqvaeError where the bytes are not UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise GqvaeError(f"the text is not UTF-8: byte 0x{data[error.start]:02x} at {error.start}") from error
