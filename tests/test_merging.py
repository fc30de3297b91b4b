"""Byte-pair encoding as the portable export trains it, inside words and across them."""

import json
from collections import Counter
from pathlib import Path

import pytest
from toys import TEXT, merged_tokens

from gqvae.bpe import pair_of
from gqvae.corpus import Corpus
from gqvae.evaluation.peers import train_peer
from gqvae.export.huggingface import unspell
from gqvae.export.merging import TURN, train_bpe, train_superbpe
from gqvae.export.portable import count
from gqvae.patterns import split


def test_bpe_merges_the_most_frequent_first() -> None:
    counts = {b"abab": 3, b"abc": 2, b"xx": 9, b"xxx": 1}
    assert train_bpe(counts, 3) == [b"xx", b"ab", b"abab"]
    assert train_bpe(counts, 9, allowed={b"ab", b"abc"}) == [b"ab", b"abc"]
    assert train_bpe(counts, 2, avoid={b"xx"}) == [b"ab", b"abab"]


def test_bpe_equals_hugging_faces(tmp_path: Path) -> None:
    peer = train_peer("bpe:330", [TEXT])
    (tmp_path / "tokenizer.json").write_text(peer._tokenizer.to_str())  # type: ignore[union-attr]
    merges = json.loads(peer._tokenizer.to_str())["model"]["merges"]  # type: ignore[union-attr]
    theirs = [unspell(left + right) for left, right in merges]
    weights = count([TEXT], "gpt2")
    ours = train_bpe(weights, len(theirs))
    # they break ties otherwise: the same compression, not the same strings
    assert merged_tokens(ours, weights) == pytest.approx(merged_tokens(theirs, weights), rel=0.02)


@pytest.fixture(scope="module")
def sentences(corpus: Corpus) -> "Counter[bytes]":
    return count(corpus.documents(), "sentence")


def test_across_words_words_come_first(sentences: "Counter[bytes]") -> None:
    words = {word for sentence in sentences for word in split(sentence, "gpt2")}
    size = 600
    made = train_superbpe(sentences, size)
    inside = made[: int(size * TURN)]
    assert len(set(made)) == size
    assert all(any(string in word for word in words) for string in inside)
    assert any(len(split(string, "gpt2")) > 2 for string in made)
    assert merged_tokens(made, sentences) < 0.97 * merged_tokens(train_bpe(sentences, size), sentences)


def test_across_words_merges_make_every_string() -> None:
    """Of runs of spaces, too, the last of which belongs to the word that follows."""
    counts = Counter({b"a  b a  b": 5, b"     a": 4, b"x\n\n\n": 3, b"it's  it's": 3, b"  ": 1, b"1 2  3": 2})
    made = train_superbpe(counts, 100)
    ranks = {token: rank for rank, token in enumerate(made)}
    assert 15 < len(made) < 100
    assert all(pair_of(token, ranks) for token in made)


def test_across_words_some_strings_are_not_made(sentences: "Counter[bytes]") -> None:
    made = train_superbpe(sentences, 300)
    avoid = {made[0], made[-1]}
    assert not avoid & set(train_superbpe(sentences, 300, avoid))
