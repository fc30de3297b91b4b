"""Byte-pair encoding by ranks, held to an obvious twin, and to what makes one pair a token enough."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toys import TEXT

from gqvae.awkward import AWKWARD_BYTES, AWKWARD_TEXT
from gqvae.bpe import BPETokenizer, Pair, Ranks, merges, pair_of
from gqvae.errors import GqvaeError
from gqvae.export import huggingface
from gqvae.patterns import PATTERNS
from gqvae.vocabulary import Vocabulary

tiktoken = pytest.importorskip("tiktoken")

STRINGS = st.text("abc", min_size=2, max_size=6).map(str.encode)
ORDERS = st.lists(STRINGS, unique=True, max_size=25).map(tuple)
"""Any strings in any order: most are unreachable, few of them are what a training would give."""


def slow_merges(piece: bytes, ranks: Ranks) -> tuple[list[Pair], list[bytes]]:
    tokens, merged = [bytes([byte]) for byte in piece], []
    while True:
        ranked = [
            (ranks[left + right], at) for at, (left, right) in enumerate(neighbours(tokens)) if left + right in ranks
        ]
        if not ranked:
            return merged, tokens
        _, at = min(ranked)
        merged.append((tokens[at], tokens[at + 1]))
        tokens[at : at + 2] = [tokens[at] + tokens[at + 1]]


def neighbours(tokens: Sequence[bytes]) -> list[Pair]:
    return list(pairwise(tokens))


@given(ORDERS, st.text("abc", max_size=30).map(str.encode))
def test_merges_equal_the_slow_twin(order: tuple[bytes, ...], piece: bytes) -> None:
    ranks = {token: rank for rank, token in enumerate(order)}
    assert merges(piece, ranks) == slow_merges(piece, ranks)


@given(ORDERS, st.text("abc", max_size=30).map(str.encode))
def test_a_token_is_made_of_its_pair_alone(order: tuple[bytes, ...], piece: bytes) -> None:
    ranks = {token: rank for rank, token in enumerate(order)}
    for left, right in merges(piece, ranks)[0]:
        assert pair_of(left + right, ranks) == (left, right)


@given(ORDERS, st.lists(st.text("abc ", max_size=30), min_size=5, max_size=5))
def test_one_pair_a_token_gives_the_ids_of_ranks(order: tuple[bytes, ...], texts: list[str]) -> None:
    ours = BPETokenizer(Vocabulary(order), "gpt2", "any")
    theirs = huggingface.build_huggingface(ours)
    ranks = dict(ours.vocabulary.id_of)
    encoding = tiktoken.Encoding("any", pat_str=PATTERNS["gpt2"], mergeable_ranks=ranks, special_tokens={})
    for text in texts:
        ids = ours.encode(text)
        assert theirs.encode(text).ids == ids
        assert ours.decode_bytes(ids) == text.encode()
        assert encoding.encode_ordinary(text) == ids


def test_long_runs_are_linear_enough() -> None:
    tokenizer = BPETokenizer(Vocabulary((b"aa", b"aaaa", b"ab")), "gpt2", "runs")
    assert len(tokenizer.encode("a" * 100_000)) == 25_000


def test_lossless_on_anything() -> None:
    tokenizer = BPETokenizer(Vocabulary((b"th", b"the", b" t", b" the", b"  ")), "gpt2", "small")
    for text in (*AWKWARD_TEXT, *AWKWARD_BYTES, TEXT):
        data = text.encode() if isinstance(text, str) else text
        assert tokenizer.decode_bytes(tokenizer.encode(text)) == data
        assert b"".join(tokenizer.split(text)) == data


@given(st.binary(max_size=40))
def test_lossless_on_any_bytes(data: bytes) -> None:
    tokenizer = BPETokenizer(Vocabulary((b"\xff\xfe", b"\x00\x00", b"\xe2\x82", b"\xe2\x82\xac")), "gpt4", "bytes")
    assert tokenizer.decode_bytes(tokenizer.encode(data)) == data


def test_specials_are_text_unless_allowed() -> None:
    tokenizer = BPETokenizer(Vocabulary((b"<|",), ("<|end|>", "<|end|>x")), "gpt2", "specials")
    assert tokenizer.encode("a<|end|>xb", allowed_special="all") == [97, 258, 98]
    assert 257 not in tokenizer.encode("a<|end|>b")


def test_what_merges_do_not_make_is_for_whole_pretokens() -> None:
    tokenizer = BPETokenizer(Vocabulary((b"ab", b" abc", b"x y")), "gpt2", "whole")
    assert (tokenizer.whole_only, tokenizer.unreachable) == ([b" abc", b"x y"], [b"x y"])
    assert tokenizer.encode(" abc") == [257]
    assert tokenizer.encode(" abcd") == [32, 256, 99, 100]


def test_what_is_no_text_and_no_id_is_refused() -> None:
    tokenizer = BPETokenizer(Vocabulary((b"ab",)), "gpt2", "small")
    for text in ("\udcff", "\ud800"):
        with pytest.raises(GqvaeError, match="lone surrogate"):
            tokenizer.encode(text)
    for index in (-1, tokenizer.vocab_size):
        with pytest.raises(GqvaeError, match=f"{index} is no id of this tokenizer: ids are 0 to 257"):
            tokenizer.decode_bytes([index])


def test_an_unknown_pattern_is_refused() -> None:
    with pytest.raises(GqvaeError, match="unknown pattern 'words'"):
        BPETokenizer(Vocabulary(), "words", "x")
