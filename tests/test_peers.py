"""Peers are checked to be what they say they are."""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rivals import DOCUMENTS, SPECS, STORY, Peer, tokens

from gqvae.cli import main
from gqvae.errors import GqvaeError
from gqvae.evaluation import evaluate, load_peer, train_peer
from gqvae.evaluation.peers import SAMPLE, faults, parse_trained_peer
from gqvae.evaluation.trained import INSIDE
from gqvae.evaluation.unigram import RESERVED

AWKWARD = [
    "<|endoftext|>",
    "a <|endoftext|> b<|endoftext|>",
    "\x00\x01\x7f\x80\xff",
    " \n\t  \r\n ",
    "👩‍👩‍👧‍👦 👍🏽 مرحبا дом ไทย",
    "Ġ Ċ ▁ �",
    f"<unk><0x0A>{RESERVED}{INSIDE}##a",
]


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
