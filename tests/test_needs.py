"""What strings are worth and which spans are needed, counted by hand and by slow twins."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gqvae.needs import GRAM, UNSPELLED, needs, runs, usage, worths
from gqvae.spelling import spell

LONGEST = 6
tokens = st.text("ab", min_size=1, max_size=3)
segmentations = st.lists(st.tuples(st.lists(tokens, min_size=1, max_size=6), st.integers(1, 9).map(float)), max_size=5)


@given(segmentations)
def test_usage_counts_tokens_by_weight(segmentation: list[tuple[list[str], float]]) -> None:
    slow = Counter(token for row, weight in segmentation for token in row for _ in range(int(weight)))
    assert usage(segmentation) == slow


@given(st.lists(tokens, min_size=1, max_size=6))
def test_runs_are_all_short_stretches_of_neighbours(row: list[str]) -> None:
    for last in range(len(row)):
        stretches = [row[first : last + 1] for first in range(last - 1, -1, -1)]
        fitting = [(len(s), "".join(s)) for s in stretches if len(s) <= GRAM and len("".join(s)) <= LONGEST]
        assert list(runs(row, last, LONGEST)) == fitting


@given(segmentations, st.sets(tokens))
def test_needs_are_tokens_saved(segmentation: list[tuple[list[str], float]], strings: set[str]) -> None:
    slow: Counter[str] = Counter()
    for row, weight in segmentation:
        for first in range(len(row)):
            for end in range(first + 1, len(row) + 1):
                span, number = "".join(row[first:end]), end - first
                if span in strings or number > GRAM or (number > 1 and len(span) > LONGEST):
                    continue
                slow[span] += weight * (UNSPELLED if number == 1 else number - 1)  # type: ignore[assignment]
    assert needs(segmentation, strings, LONGEST) == slow


def test_the_neediest_span_saves_what_was_counted() -> None:
    strings = {"ab", "cd"}
    text, weight = "abcd", 7.0
    before = spell(text, strings, 4)
    wanted = needs([(before, weight)], strings, 4)
    assert wanted == {"abcd": 7.0}
    assert weight * (len(before) - len(spell(text, strings | {"abcd"}, 4))) == wanted["abcd"]


def test_a_string_is_worth_its_uses_times_the_tokens_it_saves() -> None:
    strings = {"ab", "abc", "c"}
    used = Counter({"abc": 4, "ab": 2, "c": 5})
    assert worths(used, strings, 3) == {"abc": 4 * 1, "ab": 2 * 1, "c": 5 * UNSPELLED}
    assert worths(Counter(), {"abc"}, 3) == {"abc": 0}
