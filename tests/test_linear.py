"""Time grows with the bytes of a text, whatever it is made of."""

import time
from collections.abc import Callable
from copy import copy
from pathlib import Path

import pytest
from toys import toy

from gqvae.shards import encode_corpus

UNITS = {
    "letter": "a",
    "space": " ",
    "newline": "\n",
    "combining marks": "e\u0301\u0316\u0323",
    "emoji joiners": "👩\u200d",
    "words": "the rain ",
    "spaces and newlines": " \n",
    "apostrophes": "'s",
    "NUL": "\x00",
    "no UTF-8": b"\xff",
}
SMALL, TIMES = 20_000, 8  # bytes of a text, and how much longer the other is
MOST = 4 * TIMES  # half of what quadratic time would be
TOYS = {pattern: toy(pattern) for pattern in ("gpt2", "sentence")}


def seconds(task: Callable[[], object]) -> float:
    """The least processor time of three."""
    found = []
    for _ in range(3):
        begin = time.process_time()
        task()
        found.append(time.process_time() - begin)
    return min(found)


@pytest.mark.parametrize("unit", UNITS.values(), ids=list(UNITS))
@pytest.mark.parametrize("pattern", list(TOYS))
def test_encoding_is_linear(pattern: str, unit: str | bytes) -> None:
    def encode(size: int) -> float:
        text = unit * (size // len(unit.encode() if isinstance(unit, str) else unit))
        return seconds(lambda: copy(TOYS[pattern]).encode(text))  # remembers nothing

    assert encode(SMALL * TIMES) < MOST * encode(SMALL)


@pytest.mark.parametrize("pattern", list(TOYS))
def test_shards_are_linear_in_one_document(pattern: str, tmp_path: Path) -> None:
    numbers = iter(range(100))

    def encode(size: int) -> float:
        return seconds(lambda: encode_corpus(copy(TOYS[pattern]), ["a" * size], tmp_path / str(next(numbers))))

    assert encode(SMALL * TIMES) < MOST * encode(SMALL)
