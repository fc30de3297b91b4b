"""The segmentation of a pretoken: the best there is, by every way to find it."""

import itertools
import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toys import TEXT, toy

from gqvae.awkward import AWKWARD_BYTES, AWKWARD_TEXT
from gqvae.encoder import automaton, lockstep, packed, segmentation
from gqvae.encoder.automaton import Automaton
from gqvae.encoder.packed import unpack
from gqvae.encoder.segmentation import Segmenter
from gqvae.encoder.viterbi import best_ids, best_lengths, build_trie
from gqvae.names import load
from gqvae.patterns import split
from gqvae.tokenizer import Tokenizer
from gqvae.vocabulary import Vocabulary

TOY = toy("none")


def slow_twin(data: bytes, scores: dict[bytes, float]) -> tuple[float, list[bytes]]:
    """The recurrence of `gqvae.encoder.viterbi` as it reads: the best last token, the longest on a tie."""
    table: list[tuple[float, list[bytes]]] = [(0.0, [])]
    for end in range(1, len(data) + 1):
        options = [
            (table[start][0] + scores[data[start:end]], start) for start in range(end) if data[start:end] in scores
        ]
        total, start = max(options, key=lambda option: (option[0], -option[1]))
        table.append((total, [*table[start][1], data[start:end]]))
    return table[-1]


def all_segmentations(data: bytes, scores: dict[bytes, float]) -> list[list[bytes]]:
    found = []
    for inner in itertools.product((False, True), repeat=max(len(data) - 1, 0)):
        cuts = [0, *(index + 1 for index, cut in enumerate(inner) if cut), len(data)]
        parts = [data[a:b] for a, b in itertools.pairwise(cuts)]
        if all(part in scores for part in parts):
            found.append(parts)
    return found


small_tokens = st.dictionaries(
    st.text("ab", min_size=2, max_size=5).map(str.encode),
    st.sampled_from([-0.1, -0.2, -0.3, -1.0, -2.5]),
    max_size=12,
)
small_text = st.text("abc", min_size=1, max_size=12)


def test_on_a_tie_the_longest_last_token_wins() -> None:
    """The string "aab" has the same score as a|ab and as aa|b."""
    tokenizer = Tokenizer(Vocabulary((b"aa", b"ab"), ()), [-1.0] * 256 + [-1.0, -1.0], "none", "tie")
    assert tokenizer.split("aab") == [b"a", b"ab"]


@given(small_tokens, small_text)
def test_segmentation_equals_the_slow_twin(tokens: dict[bytes, float], text: str) -> None:
    scores = {bytes([byte]): -1.0 for byte in range(256)} | tokens
    tokenizer = Tokenizer(Vocabulary(tuple(tokens)), list(scores.values()), "none", "twin")
    assert tokenizer.split(text) == slow_twin(text.encode(), scores)[1]


@given(small_tokens, small_text)
def test_segmentation_is_the_best_of_all(tokens: dict[bytes, float], text: str) -> None:
    scores = {bytes([byte]): -4.0 for byte in range(256)} | {token: 10 * score for token, score in tokens.items()}
    tokenizer = Tokenizer(Vocabulary(tuple(tokens)), list(scores.values()), "none", "all")
    best = max(sum(scores[part] for part in parts) for parts in all_segmentations(text.encode(), scores))
    assert sum(scores[part] for part in tokenizer.split(text)) == best


def test_blocks_do_not_change_the_segmentation(monkeypatch: pytest.MonkeyPatch) -> None:
    data = TEXT.encode() * 3
    trie = build_trie(TOY.vocabulary.plain_tokens, TOY.scores)
    whole = best_lengths(data, trie, 8)
    for block in (1, 2, 7, 8, 9, 100, len(data)):
        monkeypatch.setattr("gqvae.encoder.viterbi._BLOCK", block)
        assert best_lengths(data, trie, 8) == whole


@given(small_tokens, st.lists(st.text("abc", min_size=1, max_size=40).map(str.encode), max_size=20), st.integers(1, 50))
def test_the_automaton_equals_the_viterbi_twin(tokens: dict[bytes, float], pieces: list[bytes], block: int) -> None:
    """One by one, in blocks and in lockstep: the same ids, on ties too."""
    scores = {bytes([byte]): -1.0 for byte in range(256)} | tokens
    trie, id_of = build_trie(list(scores), list(scores.values())), {token: id_ for id_, token in enumerate(scores)}
    expected = [list(best_ids(piece, trie, 5, id_of)) for piece in pieces]
    one_by_one, segmenter = (kind(list(scores), list(scores.values())) for kind in (Automaton, Segmenter))
    assert [list(one_by_one.ids(piece)) for piece in pieces] == expected
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(automaton, "_BLOCK", block)
        assert [list(one_by_one.ids(piece)) for piece in pieces] == expected
        for fewest in (1, 3):
            patched.setattr(segmentation, "_FEWEST", fewest)
            patched.setattr(lockstep, "_CELLS", 2 * block)
            assert list(map(unpack, segmenter.segment(pieces))) == expected


@pytest.mark.parametrize("name", ["multilingual-8192", "wikipedia-8192-superword"])
def test_both_ways_of_a_bundled_tokenizer_equal_the_viterbi_twin(name: str) -> None:
    vocabulary, scores = load(name).vocabulary, load(name).scores
    trie, longest = build_trie(vocabulary.plain_tokens, scores), max(map(len, vocabulary.plain_tokens))
    pieces = [
        *split(TEXT * 2, "gpt2"),
        *split(TEXT, "sentence"),
        *(text.encode() for text in AWKWARD_TEXT),
        *AWKWARD_BYTES,
    ]
    pieces = [*pieces, *vocabulary.plain_tokens[::7]]
    expected = [list(best_ids(piece, trie, longest, vocabulary.id_of)) for piece in pieces]
    one_by_one, segmenter = (kind(vocabulary.plain_tokens, scores) for kind in (Automaton, Segmenter))
    assert [list(one_by_one.ids(piece)) for piece in pieces] == expected
    assert list(map(unpack, segmenter.segment(pieces))) == expected


def test_without_numpy_the_ids_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    words = " ".join(f"{number}th" for number in range(5_000))
    expected = toy().encode(words)
    for module in (segmentation, packed):
        monkeypatch.setattr(module, "find_spec", lambda _: None)
    without = toy()
    assert without.encode(words) == expected
    assert without._segmenter._lockstep is None


def test_tables_are_right_though_another_thread_makes_the_automaton_remember() -> None:
    vocabulary, scores = load("multilingual-8192").vocabulary, load("multilingual-8192").scores
    expected = lockstep.Lockstep(Automaton(vocabulary.plain_tokens, scores).states)._next
    words = [b"".join(random.Random(number).choices(vocabulary.plain_tokens, k=3)) for number in range(20_000)]
    for _ in range(3):
        used = Automaton(vocabulary.plain_tokens, scores)
        thread = threading.Thread(target=lambda used=used: list(map(used.ids, words)))
        thread.start()
        tables = [lockstep.Lockstep(used.states)._next for _ in range(5)]
        thread.join()
        assert all((table == expected).all() for table in tables)


def test_what_an_automaton_remembers_is_bounded_by_the_vocabulary() -> None:
    small = Automaton(TOY.vocabulary.plain_tokens, TOY.scores)
    small.ids(random.Random(0).randbytes(200_000))
    assert max(len(state) for state in small.states[1:]) == automaton._REMEMBERED
