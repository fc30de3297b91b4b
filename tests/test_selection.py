"""Which strings become the vocabulary."""

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gqvae.config import SPECIALS
from gqvae.errors import GqvaeError
from gqvae.pretokens import count_pretokens
from gqvae.selection import GIVEN, best, choose, in_order_of_use
from gqvae.spelling import spell
from gqvae.vocabulary import MAX_TOKEN_BYTES, Vocabulary

Weighted = list[tuple[str, float]]


def latin(string: str) -> bytes:
    """Symbols that are bytes."""
    return string.encode("latin-1")


def weighted(documents: list[str], pattern: str = "gpt2", window: int = 12) -> Weighted:
    table = count_pretokens(documents, pattern=pattern, window=window)
    return [(piece.decode("latin-1"), count) for piece, count in zip(table.pieces, table.counts.tolist(), strict=True)]


def test_choose_prefers_what_saves_most() -> None:
    pretokens = weighted(["abcd abcd abcd xyz xyz qr"])
    strings = Counter({"abcd": 1, " abcd": 2, " xyz": 2, " qr": 1, "impossible": 0})
    assert choose(strings, pretokens, 257 + 2, 8, latin) == [" xyz", "abcd"]  # the space before it costs one token
    assert choose(strings, pretokens, 257 + 3, 8, latin) == [" abcd", " xyz", "abcd"]


def test_occurrences_may_be_fractions() -> None:
    """As a sample weighs them."""
    assert choose(Counter(), [("ab", 0.75), ("cd", 0.5)], 258, 2, latin) == ["ab"]
    assert choose(Counter(), [("ab", 0.5), ("cd", 0.75)], 258, 2, latin) == ["cd"]


def test_a_special_token_is_never_a_learned_string() -> None:
    """A pattern that leaves the name of a special token whole must not make it one, however often it occurs."""
    pretokens = weighted(["<|endoftext|>"] * 50 + ["one two", "three"], pattern="none", window=16)
    learned = choose(Counter({"one two": 1, "three": 1}), pretokens, 257 + 4, 16, latin)
    assert {"one two", "three"} < set(learned)
    assert "<|endoftext|>" not in learned


def test_every_size_up_to_what_the_text_has_use_for() -> None:
    """No size in between is refused, and the error says how far one can go."""
    words = "the statement is executed and the statement is documented in the standard library of modules"
    pretokens = weighted([words, words[::-1], words.title()])
    with pytest.raises(GqvaeError, match="has use for") as told:
        choose(Counter(), pretokens, 100_000, 8, latin)
    most = int(re.findall(r"use for (\d+) ids", str(told.value))[0])
    assert most > 280
    for size in range(258, int(0.95 * most)):
        learned = choose(Counter(), pretokens, size, 8, latin)
        assert len(set(learned)) == size - 257
        assert set(learned) <= {token for piece, _ in pretokens for token in spell(piece, learned, 8)}


# Symbols that stand for several bytes: one for what "ab" spells too, one for the special token, one that is too long.
TEXTS = {"\u0100": b"ab", "\u0101": SPECIALS[0].encode(), "\u0102": b"c" * (MAX_TOKEN_BYTES - 1)}
symbols = st.text(["a", "b", "c", *TEXTS], min_size=1, max_size=8)


def text_of(string: str) -> bytes:
    return b"".join(TEXTS.get(symbol, symbol.encode()) for symbol in string)


@given(
    st.dictionaries(symbols.filter(lambda string: len(string) <= 4), st.integers(1, 9)),
    st.dictionaries(symbols, st.integers(1, 9), min_size=1),
    st.integers(258, 264),
)
def test_no_text_is_chosen_twice(uses: dict[str, int], counts: dict[str, int], size: int) -> None:
    """Two strings of tokens may stand for the same bytes, or for what has its id anyway."""
    try:
        learned = choose(Counter(uses), list(counts.items()), size, 4, text_of)
    except GqvaeError:
        return  # too little text
    texts = set(map(text_of, learned))
    assert len(texts) == len(learned) == size - 257
    assert not texts & GIVEN
    assert len(Vocabulary(tuple(texts))) == size


def test_of_two_strings_of_one_text_the_better_is_chosen() -> None:
    pretokens = [("\u0100c", 5.0), ("abc", 2.0), ("ab", 1.0)]
    assert choose(Counter({"\u0100c": 5, "abc": 3}), pretokens, 258, 4, text_of) == ["abc"]  # saves two tokens a use
    assert choose(Counter({"\u0100c": 5, "abc": 2}), pretokens, 258, 4, text_of) == ["\u0100c"]


def test_the_best_strings_are_all_that_there_is_room_for() -> None:
    strings = Counter({"ab": 3, "\u0100": 4, "abc": 2, "ca": 9, "a": 9, "\u0101": 9, "\u0102cc": 9})
    assert best(strings, 100_000, 4, text_of) == ["abc", "ca", "\u0100"]
    assert best(strings, 258, 4, text_of) == ["\u0100"]


def test_ids_in_the_order_of_their_use() -> None:
    vocabulary = Vocabulary((b"ab", b"cd", b"ef"))
    ordered, ids = in_order_of_use(vocabulary, [(256, ord("x")), (258, 257), (258,)], [2, 2, 3])
    assert ordered.learned == (b"ef", b"ab", b"cd")
    assert ids == [(257, ord("x")), (256, 258), (256,)]
