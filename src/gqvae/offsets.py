"""Places in the UTF-8 of a text, as places in the text."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable


def character_offsets(text: str, spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Turn (start, end) byte spans of the UTF-8 of `text` into character spans.

    A span that begins or ends within a character is widened to the whole of it, as Hugging Face does: the
    spans of tokens that share a character overlap.
    """
    starts = [index for index, byte in enumerate(text.encode()) if byte & 0xC0 != 0x80]
    return [(bisect_right(starts, start) - 1, bisect_left(starts, end)) for start, end in spans]
