"""Where in a text the tokens stand."""

from collections.abc import Mapping, Sequence


def with_offsets(ids: Sequence[int], bytes_of: Mapping[int, bytes], *, characters: bool) -> list[tuple[int, int, int]]:
    r"""(id, start, end) of tokens that follow each other: in bytes, or in characters of their UTF-8.

    Tokens that share a character overlap, as in Hugging Face's tokenizers.

    >>> with_offsets([7, 8], {7: b"a\xc3", 8: b"\xa9"}, characters=True)
    [(7, 0, 2), (8, 1, 2)]
    >>> with_offsets([7, 8], {7: b"a\xc3", 8: b"\xa9"}, characters=False)
    [(7, 0, 2), (8, 2, 3)]
    """
    sizes = _characters if characters else _bytes
    size_of = {index: sizes(bytes_of[index]) for index in set(ids)}
    found, end = [], 0
    for index in ids:
        shared, begun = size_of[index]
        start, end = end - shared, end + begun
        found.append((index, start, end))
    return found


def _bytes(token: bytes) -> tuple[int, int]:
    return 0, len(token)


def _characters(token: bytes) -> tuple[int, int]:
    """Whether it begins within a character, and how many begin in it."""
    begun = sum(byte & 0xC0 != 0x80 for byte in token)
    return int(token[0] & 0xC0 == 0x80), begun
