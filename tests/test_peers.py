"""Peers are checked to be what they say they are."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from pydoc_data.topics import topics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gqvae.cli import main
from gqvae.errors import GqvaeError
from gqvae.evaluation import evaluate, load_peer, train_peer
from gqvae.evaluation.peers import (
    KINDS,
    SAMPLE,
    HuggingFaceTokenizer,
    bpe_of_compression,
    faults,
    parse_trained_peer,
)
from gqvae.evaluation.trained import INSIDE, SMALLEST, with_merges
from gqvae.evaluation.trained import bpe as bpe_of
from gqvae.evaluation.unigram import RESERVED, UnigramTokenizer
from gqvae.patterns import split_text

STORY = (
    "Once upon a time there was a little girl named Lily. She loved to play in the garden, and the garden "
    "loved her too. One day she found a red ball. “It’s mine!” said the café’s dog. 日本語 too.\n"
)
DOCUMENTS = [STORY, STORY.upper(), STORY * 3 + "the end", topics["import"], topics["numeric-types"]]
AWKWARD = [
    "<|endoftext|>",
    "a <|endoftext|> b<|endoftext|>",
    "\x00\x01\x7f\x80\xff",
    " \n\t  \r\n ",
    "👩‍👩‍👧‍👦 👍🏽 مرحبا дом ไทย",
    "Ġ Ċ ▁ �",
    f"<unk><0x0A>{RESERVED}{INSIDE}##a",
]
SPECS = {
    "bpe": "bpe:400",
    "unigram": "unigram:500",
    "wordpiece": "wordpiece:700",
    "sentence-bpe": "sentence-bpe:400",
    "superbpe": "superbpe:400:300",
    "bytes": "bytes:257",
}
"""One of each kind."""
Peer = HuggingFaceTokenizer | UnigramTokenizer


@pytest.fixture(scope="module")
def peers() -> dict[str, Peer]:
    assert set(SPECS) == set(KINDS)
    return {kind: train_peer(spec, DOCUMENTS) for kind, spec in SPECS.items()}


def tokens(peer: Peer) -> list[bytes]:
    return [peer.decode_bytes([id_]) for id_ in range(peer.vocab_size)]


# all of them


@pytest.mark.parametrize("spec", [*SPECS.values(), "superbpe:400", "superbpe:400:400"])
def test_a_peer_has_exactly_n_ids_and_every_byte(spec: str) -> None:
    peer = train_peer(spec, iter(DOCUMENTS))
    assert peer.name == spec
    assert peer.vocab_size == int(spec.split(":")[1])
    assert peer.note == ""
    assert {bytes([byte]) for byte in range(256)} | {b"<|endoftext|>"} <= set(tokens(peer))


@pytest.mark.parametrize("kind", SPECS)
def test_training_is_deterministic(kind: str, peers: dict[str, Peer]) -> None:
    for _ in range(3):
        again = train_peer(SPECS[kind], DOCUMENTS)
        assert tokens(again) == tokens(peers[kind])
        assert list(map(again.encode, DOCUMENTS)) == list(map(peers[kind].encode, DOCUMENTS))


def test_every_document_is_trained_on_and_read_once() -> None:
    documents = ["the first one"] + ["one of many"] * 2 * SAMPLE + ["the last one"]
    peer = train_peer("bpe:1000", iter(documents))
    assert peer._tokenizer.to_str() == train_peer("bpe:1000", documents)._tokenizer.to_str()
    assert {b" first", b" many", b" last"} <= set(tokens(peer))


@pytest.mark.parametrize("kind", ["bpe", "unigram", "wordpiece", "sentence-bpe", "superbpe"])
def test_a_peer_of_another_size_says_so(kind: str) -> None:
    peer = train_peer(f"{kind}:5000", ["so little text"])
    assert peer.vocab_size < 5000
    row = evaluate(peer, ["text"])
    assert row["vocab_size"] == peer.vocab_size
    assert row["note"] == f"has {peer.vocab_size} ids, not the 5000 asked for"


@pytest.mark.parametrize("kind", SPECS)
@pytest.mark.parametrize("text", AWKWARD)
def test_special_text_is_text(text: str, kind: str, peers: dict[str, Peer]) -> None:
    ids = peers[kind].encode(text)
    assert peers[kind].decode_bytes(ids) == text.encode()
    assert not {b"<|endoftext|>", b"<unk>"} & {peers[kind].decode_bytes([id_]) for id_ in ids}


@settings(max_examples=200)
@given(text=st.text() | st.text("a▁▅▸ \n\0é<|>"))
def test_peers_are_lossless(text: str, peers: dict[str, Peer]) -> None:
    for peer in peers.values():
        assert peer.decode_bytes(peer.encode(text)) == text.encode()


@pytest.mark.parametrize("kind", SPECS)
def test_an_id_out_of_range(kind: str, peers: dict[str, Peer]) -> None:
    peer = peers[kind]
    with pytest.raises(GqvaeError, match=f"{peer.name} has no id {peer.vocab_size}"):
        peer.decode_bytes([peer.vocab_size])


def test_evaluate_knows_every_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.txt").write_text("<|endoftext|>\n".join([STORY, *DOCUMENTS]), encoding="utf-8")
    text = str(tmp_path / "text.txt")
    against = [word for spec in SPECS.values() for word in ("--against", spec)]
    with suppress(SystemExit):
        main(["evaluate", "tinystories-1024", "--corpus", text, "--train-corpus", text, *against, "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["lossless"], row["note"]) for row in rows[1:]] == [
        (spec, True, "") for spec in SPECS.values()
    ]


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
    size=st.integers(SMALLEST, 280),
)
def test_a_smaller_bpe_is_the_beginning_of_a_larger(documents: list[str], size: int) -> None:
    """In short texts of few letters, too, where most pairs are as frequent as another."""
    for texts, larger in ((documents, 290), (DOCUMENTS, 400)):
        assert with_merges(bpe_of(texts, larger), size).to_str() == bpe_of(texts, size).to_str()


@pytest.fixture(scope="module")
def reached() -> list[float]:
    """Bytes per token of every BPE of up to 360 ids, on the text it was trained on: there every merge helps."""
    texts = DOCUMENTS[:3]
    return [evaluate(train_peer(f"bpe:{size}", texts), texts)["bytes_per_token"] for size in range(SMALLEST, 361)]


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


# what is found wrong


class Bytes:
    """Nothing is wrong with it; its 257th id spells nothing."""

    name, vocab_size = "bytes", 257

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        return bytes(id_ for id_ in ids if id_ < 256)


class Forgetful(Bytes):
    def encode(self, text: str) -> list[int]:
        return list(text.replace("\0", "").encode())


class Beyond(Bytes):
    vocab_size = 200


class Wordy(Bytes):
    def encode(self, text: str) -> list[int]:
        return [256, *text.encode()]


class Slow(Bytes):
    def encode(self, text: str) -> list[int]:
        sum(range(len(text) ** 2 // 20))
        return super().encode(text)


class Unread(Bytes):
    def encode(self, text: str) -> list[int]:
        return list(text.replace("unread", "").encode())


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        (Bytes, ""),
        (Forgetful, "loses text"),
        (Unread, "loses text"),
        (Beyond, "has 200 ids, not the 257 asked for; gives ids beyond its vocabulary"),
        (Wordy, "gives more tokens than bytes"),
        (Slow, "takes more than linear time for a long run"),
    ],
)
def test_faults_are_found(kind: Callable[[], Bytes], fault: str) -> None:
    assert faults(kind(), 257, ["unread"]) == fault


# from a folder


def test_a_hugging_face_folder_gives_the_same_ids(tmp_path: Path, peers: dict[str, Peer]) -> None:
    """Even if the file asks for truncation, padding or tokens around the text: figures are of the text."""
    from tokenizers import Tokenizer
    from tokenizers.processors import TemplateProcessing

    for kind in ("bpe", "wordpiece"):
        saved = Tokenizer.from_str(peers[kind]._tokenizer.to_str())
        saved.enable_truncation(4)
        saved.enable_padding()
        saved.post_processor = TemplateProcessing(
            single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", saved.token_to_id("<|endoftext|>"))]
        )
        saved.save(str(tmp_path / "tokenizer.json"))
        loaded = load_peer(f"hf:{tmp_path}")
        assert loaded.name == f"hf:{tmp_path}"
        for text in [*DOCUMENTS, *AWKWARD, ""]:
            assert loaded.encode(text) == peers[kind].encode(text)
            assert loaded.decode_bytes(peers[kind].encode(text)) == text.encode()


def test_a_missing_or_damaged_hugging_face_folder(tmp_path: Path) -> None:
    with pytest.raises(GqvaeError, match=r"cannot read .*nowhere.tokenizer\.json: No such file"):
        load_peer("hf:nowhere")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(GqvaeError, match="is not a tokenizer"):
        load_peer(f"hf:{tmp_path}")


def test_specs_of_trained_peers() -> None:
    for kind in SPECS:
        assert parse_trained_peer(f"{kind}:4096") == (kind, (4096,))
    assert parse_trained_peer("superbpe:4096:1024") == ("superbpe", (4096, 1024))
    for other in ("some/folder", "hf:folder", "bpe", "superbpe", "bytes", "word:400", "word:400:300"):
        assert parse_trained_peer(other) is None
    for bad in ("bpe:", "bpe:256", "bpe:-1", "unigram:4k", "bpe:١٢٣٤", "bpe:400:300", "superbpe:", "superbpe::300"):
        with pytest.raises(GqvaeError, match=rf"{bad}: write {bad.split(':')[0]}:N .*257"):
            parse_trained_peer(bad)
    for bad in ("superbpe:400:", "superbpe:400:256", "superbpe:400:401", "superbpe:400:300:300"):
        with pytest.raises(GqvaeError, match=f"{bad}: write superbpe:N:T .*for T, from 257 to N"):
            parse_trained_peer(bad)
    with pytest.raises(GqvaeError, match=r"unknown peer 'word:400': write .*superbpe:N"):
        train_peer("word:400", DOCUMENTS)
