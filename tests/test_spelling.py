"""Spelling with the fewest strings, against every way there is."""

from hypothesis import given
from hypothesis import strategies as st
from learning import tilings

from gqvae.spelling import spell, worth

LONGEST = 4
texts = st.text("ab", max_size=8)
vocabularies = st.sets(st.text("ab", min_size=1, max_size=LONGEST), max_size=8)


def slow_spell(text: str, strings: set[str], longest: int) -> list[str]:
    """The fewest strings; among equals the one with the longest last string, then the longest before it, ..."""
    ways = [[text[t - k : t + 1] for t, k in tiling] for tiling in tilings(len(text), longest)]
    possible = [way for way in ways if all(len(token) == 1 or token in strings for token in way)]
    return min(possible, key=lambda way: (len(way), [-len(token) for token in reversed(way)]))


@given(texts, vocabularies)
def test_spell_finds_the_fewest(text: str, strings: set[str]) -> None:
    assert spell(text, strings, LONGEST) == slow_spell(text, strings, LONGEST)


@given(st.text(max_size=30), st.sets(st.text(min_size=1, max_size=6)))
def test_what_is_spelled_joins_to_the_text(text: str, strings: set[str]) -> None:
    spelled = spell(text, strings, 6)
    assert "".join(spelled) == text
    assert all(len(token) == 1 or token in strings for token in spelled)


@given(texts.filter(bool), vocabularies)
def test_worth_is_what_spelling_without_it_costs_more(string: str, strings: set[str]) -> None:
    before = set(strings)
    assert worth(string, strings, 8) == len(slow_spell(string, strings - {string}, 8)) - 1
    assert strings == before


def test_nothing_is_longer_than_it_may_be() -> None:
    assert spell("aaaa", {"aa", "aaaa"}, longest=2) == ["aa", "aa"]
    assert spell("", {"a"}, longest=2) == []
