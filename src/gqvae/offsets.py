"""Where in a text the tokens stand."""

from collections.abc import Iterable
from functools import cache


def spans(tokens: Iterable[bytes], *, characters: bool) -> list[tuple[int, int]]:
    r"""(start, end) of each of `tokens`, which follow each other: in bytes, or in characters of their UTF-8.

    Tokens that share a character overlap, as in Hugging Face's tokenizers.

    >>> spans([b"a\xc3", b"\xa9"], characters=True), spans([b"a\xc3", b"\xa9"], characters=False)
    ([(0, 2), (1, 2)], [(0, 2), (2, 3)])
    """
    sizes = cache(_characters if characters else _bytes)  # of a token, which comes often
    found, end = [], 0
    for token in tokens:
        shared, begun = sizes(token)
        start, end = end - shared, end + begun
        found.append((start, end))
    return found


def _bytes(token: bytes) -> tuple[int, int]:
    return 0, len(token)


def _characters(token: bytes) -> tuple[int, int]:
    """Whether it begins within a character, and how many begin in it."""
    begun = sum(byte & 0xC0 != 0x80 for byte in token)
    return int(token[0] & 0xC0 == 0x80), begun
