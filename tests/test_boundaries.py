"""What two neighbouring characters tell of boundaries, against the patterns themselves."""

import argparse
import inspect
from itertools import accumulate, pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gqvae.boundaries import boundaries
from gqvae.patterns import PATTERNS, split_text

REGEXES = [name for name, expression in PATTERNS.items() if expression is not None]
# One character of each kind that a pattern tells apart.
KINDS = {name: ["s", "1", " ", "\n", "\t", "'", "("] for name in REGEXES} | {
    "sentence": ["a", " ", ".", '"', "\n"],
}
MORE = [*"asdmtlvrez", *"éſ中٣½\r\u00a0\x1c\x85\u3000\u0301”\u088f👩"]


def test_nothing_is_known_of_whole_documents() -> None:
    assert boundaries("none") is None


@pytest.mark.parametrize("pattern", REGEXES)
def test_all_short_texts_are_cut_where_the_pattern_cuts(pattern: str) -> None:
    texts = ["".join(text) for length in range(1, 6) for text in product(KINDS[pattern], repeat=length)]
    check(texts, pattern)


@pytest.mark.parametrize("pattern", REGEXES)
def test_of_ordinary_text_the_pattern_reads_little(pattern: str) -> None:
    """Else counting were as slow as the pattern."""
    known = boundaries(pattern)
    assert known
    text = inspect.getsource(argparse)
    cuts, uncertain = known.parts(text.encode(), [0])
    assert len(set(uncertain.tolist())) < 0.25 * len(cuts)
    assert len(cuts) > 0.9 * len(split_text(text, pattern))


@pytest.mark.parametrize("pattern", REGEXES)
def test_the_last_cut_is_one_whatever_comes_before(pattern: str) -> None:
    known = boundaries(pattern)
    assert known
    short = ["".join(text) for length in range(4) for text in product(KINDS[pattern], repeat=length)]
    cuts = {text: known.last_cut(text.encode()) for text in short if text}
    assert any(cuts.values())
    for before, (text, end) in product(short[:57], cuts.items()):
        found = split_text(before + text[:end], pattern) + split_text(text[end:], pattern)
        assert not end or found == split_text(before + text, pattern), (before, text)


@pytest.mark.parametrize("pattern", REGEXES)
@given(texts=st.lists(st.one_of(st.text(min_size=1), st.text(MORE + KINDS["gpt2"], min_size=1)), min_size=1))
def test_other_texts_are_cut_where_the_pattern_cuts(pattern: str, texts: list[str]) -> None:
    check(texts, pattern)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("gqvae.boundaries._BLOCK", 5)
        check(texts, pattern)


def check(texts: list[str], pattern: str) -> None:
    """The parts of each text split into the pieces of the text; where nothing is uncertain a part is a piece."""
    known = boundaries(pattern)
    assert known
    data = "".join(texts).encode()
    starts = [0, *accumulate(len(text.encode()) for text in texts)][:-1]
    cuts, uncertain = known.parts(data, starts)
    open_ = set(uncertain.tolist())
    bounds = [*cuts.tolist(), len(data)]
    number = -1
    pieces: list[list[str]] = [[] for _ in texts]
    for index, (start, end) in enumerate(pairwise(bounds)):
        number += number + 1 < len(starts) and starts[number + 1] == start
        part = data[start:end].decode()
        found = split_text(part, pattern)
        assert index in open_ or found == [part]
        pieces[number] += found
    for text, found in zip(texts, pieces, strict=True):
        assert found == split_text(text, pattern), repr(text)
