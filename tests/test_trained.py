"""How peers are trained: merges within words and beyond, pieces of words, bytes, and a BPE of some compression."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rivals import DOCUMENTS, Peer, tokens

from gqvae.evaluation import evaluate, train_peer
from gqvae.evaluation.peers import bpe_of_compression
from gqvae.evaluation.trained import INSIDE, SMALLEST_PEER, with_merges
from gqvae.evaluation.trained import bpe as bpe_of
from gqvae.patterns import split_text

# BPE inside words and beyond, WordPiece, bytes


def test_tokens_that_cross_words_are_what_sets_peers_apart(peers: dict[str, Peer]) -> None:
    crossing = {kind: [token for token in tokens(peer) if b" " in token.strip()] for kind, peer in peers.items()}
    assert {kind for kind, found in crossing.items() if found} == {"sentence-bpe", "superbpe"}
    for kind in ("sentence-bpe", "superbpe"):
        assert not [token for token in crossing[kind] if b". " in token], "no token crosses sentences"
        used = {token for text in DOCUMENTS for token in map(tokens(peers[kind]).__getitem__, peers[kind].encode(text))}
        assert used & {*crossing[kind]}


def test_superbpe_begins_as_bpe(peers: dict[str, Peer]) -> None:
    assert tokens(peers["superbpe"])[:300] == tokens(train_peer("bpe:300", DOCUMENTS))
    by_default = train_peer("superbpe:1000", DOCUMENTS)
    assert by_default._tokenizer.to_str() == train_peer("superbpe:1000:400", DOCUMENTS)._tokenizer.to_str()


def test_superbpe_without_a_first_stage_is_sentence_bpe() -> None:
    whole, staged = train_peer("sentence-bpe:900", DOCUMENTS), train_peer("superbpe:900:257", DOCUMENTS)
    assert staged._tokenizer.to_str() == whole._tokenizer.to_str()


def test_superbpe_of_text_that_spells_the_special_token() -> None:
    """A merge spells it and so adds no id: another merge takes its place."""
    documents = [*DOCUMENTS, "<|endoftext|>".join("any two letters around it") * 9]
    peer = train_peer("superbpe:400:300", documents)
    assert peer.vocab_size == len(set(tokens(peer))) == 400
    assert peer.decode_bytes(peer.encode(documents[-1])) == documents[-1].encode()


def test_superbpe_goes_on_from_the_first_stage_as_bpe_would(peers: dict[str, Peer]) -> None:
    """The slow twin: merge the most frequent pair of tokens inside sentences, one after the other."""
    first, superbpe = train_peer("superbpe:300:300", DOCUMENTS), peers["superbpe"]
    spelling = tokens(first)
    pieces = [first.encode(piece) for text in DOCUMENTS for piece in split_text(text, "sentence")]
    while len(spelling) < superbpe.vocab_size:
        counts = Counter(pair for piece in pieces for pair in pairwise(piece))
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        pieces = [merged(piece, best, len(spelling)) for piece in pieces]
        spelling.append(spelling[best[0]] + spelling[best[1]])
    assert tokens(superbpe) == spelling
    assert [id_ for text in DOCUMENTS for id_ in superbpe.encode(text)] == [id_ for piece in pieces for id_ in piece]


def merged(ids: list[int], pair: tuple[int, int], into: int) -> list[int]:
    result: list[int] = []
    for id_ in ids:
        if result and (result[-1], id_) == pair:
            result[-1] = into
        else:
            result.append(id_)
    return result


@pytest.mark.parametrize("word", ["babab", "b" * 64, "ab" * 90, "é" * 50])
def test_wordpiece_takes_the_longest_piece_of_each_rest(word: str) -> None:
    peer = train_peer("wordpiece:600", ["aaaa bab abab"] * 20)
    vocabulary = peer._tokenizer.get_vocab()
    inside_ids = {id_ for token, id_ in vocabulary.items() if token.startswith(INSIDE)}
    inside = {peer.decode_bytes([id_]): id_ for id_ in inside_ids}
    starting = {peer.decode_bytes([id_]): id_ for id_ in vocabulary.values() if id_ not in inside_ids}
    assert {bytes([byte]) for byte in range(256)} <= inside.keys() & starting.keys()
    data, wanted = word.encode(), []
    for start in range(0, len(data), 64):  # longer than its words may be
        rest, pieces = data[start : start + 64], starting
        while rest:
            longest = max(length for length in range(1, len(rest) + 1) if rest[:length] in pieces)
            wanted.append(pieces[rest[:longest]])
            rest, pieces = rest[longest:], inside
    assert peer.encode(word) == wanted


def test_bytes_are_bytes(peers: dict[str, Peer]) -> None:
    for text in DOCUMENTS:
        assert [peers["bytes"].decode_bytes([id_]) for id_ in peers["bytes"].encode(text)] == [
            bytes([byte]) for byte in text.encode()
        ]
    assert train_peer("bytes:300", DOCUMENTS).note == "has 257 ids, not the 300 asked for"


# a BPE of some compression


@settings(max_examples=50)
@given(
    documents=st.lists(st.text("abc é", max_size=40), max_size=5),
    size=st.integers(SMALLEST_PEER, 280),
)
def test_a_smaller_bpe_is_the_beginning_of_a_larger(documents: list[str], size: int) -> None:
    """In short texts of few letters, too, where most pairs are as frequent as another."""
    for texts, larger in ((documents, 290), (DOCUMENTS, 400)):
        assert with_merges(bpe_of(texts, larger), size).to_str() == bpe_of(texts, size).to_str()


@pytest.fixture(scope="module")
def reached() -> list[float]:
    """Bytes per token of every BPE of up to 360 ids, on the text it was trained on: there every merge helps."""
    texts = DOCUMENTS[:3]
    return [evaluate(train_peer(f"bpe:{size}", texts), texts)["bytes_per_token"] for size in range(SMALLEST_PEER, 361)]


@pytest.mark.parametrize("wanted", [0.5, 1.0, 1.2, 1.4, 1.6, 1.8])
def test_the_bpe_of_a_compression_comes_closest_of_all(wanted: float, reached: list[float]) -> None:
    texts = DOCUMENTS[:3]
    found = bpe_of_compression(iter(texts), wanted, iter(texts), 360)
    closest = min(reached, key=lambda one: abs(one - wanted))
    assert evaluate(found, texts)["bytes_per_token"] == closest
    assert found._tokenizer.to_str() == train_peer(found.name, texts)._tokenizer.to_str()
    assert found.note == ""


@pytest.mark.parametrize("largest", [300, 100_000])
def test_a_compression_out_of_reach_is_said(largest: int) -> None:
    found = bpe_of_compression(DOCUMENTS, 50.0, DOCUMENTS, largest)
    assert found.vocab_size == bpe_of(DOCUMENTS, largest).get_vocab_size()
    assert found.note == f"no BPE of up to {largest:,} ids on this text has 50.000 bytes per token"
