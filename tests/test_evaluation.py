"""Figures are recomputed here by hand, and peers are checked to be what they say they are."""

from collections.abc import Sequence
from pathlib import Path
from pydoc_data.topics import topics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gqvae.errors import GqvaeError
from gqvae.evaluation import compare, evaluate, load_peer, train_peer
from gqvae.evaluation.peers import HuggingFaceTokenizer, parse_trained_peer

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
]


class Halves:
    """Two characters a token; forgets the last one of an odd text when told to."""

    name = "halves"
    vocab_size = 300

    def __init__(self, forgetful: bool = False) -> None:
        self.forgetful = forgetful

    def encode(self, text: str) -> list[int]:
        data = text.encode()
        return list(data[: len(data) // 2 * 2] if self.forgetful else data)

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        return bytes(ids)


@pytest.fixture(scope="module")
def bpe() -> HuggingFaceTokenizer:
    return train_peer("bpe:400", DOCUMENTS)


@pytest.fixture(scope="module")
def unigram() -> HuggingFaceTokenizer:
    return train_peer("unigram:300", DOCUMENTS)


def test_a_row_holds_totals_over_the_untouched_text(bpe: HuggingFaceTokenizer) -> None:
    documents = [*DOCUMENTS, *AWKWARD]
    ids = [bpe.encode(text) for text in documents]
    row = evaluate(bpe, iter(documents))
    assert row["name"] == "bpe:400"
    assert row["vocab_size"] == 400
    assert row["documents"] == len(documents)
    assert row["bytes"] == sum(len(text.encode()) for text in documents)
    assert row["tokens"] == sum(map(len, ids))
    assert row["bytes_per_token"] == row["bytes"] / row["tokens"]
    assert row["used_ids"] == len({id_ for one in ids for id_ in one})
    assert row["lossless"] is True
    assert row["note"] == ""


def test_all_tokenizers_see_the_same_stream(bpe: HuggingFaceTokenizer, unigram: HuggingFaceTokenizer) -> None:
    together = compare([bpe, unigram], (text for text in DOCUMENTS))
    assert together == [evaluate(bpe, DOCUMENTS), evaluate(unigram, DOCUMENTS)]


def test_loss_is_reported_with_the_document() -> None:
    row = evaluate(Halves(forgetful=True), ["even", "odd", "four", "fi\nve"])
    assert row["lossless"] is False
    assert "2 of 4 documents" in row["note"]
    assert "number 2" in row["note"]
    assert evaluate(Halves(), ["even", "odd"])["lossless"] is True


def test_ids_beyond_the_vocabulary_are_reported() -> None:
    tokenizer = Halves()
    tokenizer.vocab_size = 100  # type: ignore[misc]
    assert "more ids than vocab_size" in evaluate(tokenizer, ["text"])["note"]


@pytest.mark.parametrize("documents", [[], ["", ""]])
def test_no_text_is_an_error(documents: list[str]) -> None:
    with pytest.raises(GqvaeError, match="holds no text"):
        evaluate(Halves(), documents)


def test_a_lone_surrogate_is_an_error() -> None:
    with pytest.raises(GqvaeError, match="U\\+D800 at character 1"):
        evaluate(Halves(), ["a\ud800"])


@pytest.mark.parametrize("spec", ["bpe:400", "unigram:300"])
def test_trained_peers_have_exactly_n_ids_and_every_byte(spec: str) -> None:
    peer = train_peer(spec, DOCUMENTS)
    assert peer.vocab_size == int(spec.split(":")[1])
    assert peer.note == ""
    singles = {peer.decode_bytes([id_]) for id_ in range(peer.vocab_size)}
    assert {bytes([byte]) for byte in range(256)} <= singles
    assert b"<|endoftext|>" in singles


def test_a_peer_of_another_size_says_so() -> None:
    peer = train_peer("bpe:5000", ["so little text"])
    assert peer.vocab_size < 5000
    row = evaluate(peer, ["text"])
    assert row["vocab_size"] == peer.vocab_size
    assert row["note"] == f"has {peer.vocab_size} ids, not the 5000 asked for"


def test_training_a_peer_is_deterministic(bpe: HuggingFaceTokenizer) -> None:
    assert train_peer("bpe:400", DOCUMENTS).encode(STORY) == bpe.encode(STORY)


@pytest.mark.parametrize("text", AWKWARD)
def test_peers_take_special_text_as_text(text: str, bpe: HuggingFaceTokenizer, unigram: HuggingFaceTokenizer) -> None:
    for peer in (bpe, unigram):
        ids = peer.encode(text)
        assert peer.decode_bytes(ids) == text.encode()
        assert b"<|endoftext|>" not in [peer.decode_bytes([id_]) for id_ in ids]


@settings(max_examples=200, deadline=None)
@given(text=st.text())
def test_peers_are_lossless(text: str, bpe: HuggingFaceTokenizer, unigram: HuggingFaceTokenizer) -> None:
    for peer in (bpe, unigram):
        assert peer.decode_bytes(peer.encode(text)) == text.encode()


def test_a_hugging_face_folder_gives_the_same_ids(tmp_path: Path, bpe: HuggingFaceTokenizer) -> None:
    """Even if the file asks for truncation, padding or tokens around the text: figures are of the text."""
    from tokenizers import Tokenizer
    from tokenizers.processors import TemplateProcessing

    saved = Tokenizer.from_str(bpe._tokenizer.to_str())
    saved.enable_truncation(4)
    saved.enable_padding()
    saved.post_processor = TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", saved.token_to_id("<|endoftext|>"))]
    )
    saved.save(str(tmp_path / "tokenizer.json"))
    loaded = load_peer(f"hf:{tmp_path}")
    assert loaded.name == f"hf:{tmp_path}"
    for text in [*DOCUMENTS, *AWKWARD, ""]:
        assert loaded.encode(text) == bpe.encode(text)
        assert loaded.decode_bytes(bpe.encode(text)) == text.encode()


def test_a_tokenizer_that_loses_text_is_caught(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0, "some": 1, "##thing": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    row = evaluate(load_peer(f"hf:{tmp_path}"), ["something else", "something"])
    assert row["lossless"] is False
    assert "1 of 2 documents" in row["note"]


def test_a_missing_or_damaged_hugging_face_folder(tmp_path: Path) -> None:
    with pytest.raises(GqvaeError, match=r"cannot read .*nowhere.tokenizer\.json: No such file"):
        load_peer("hf:nowhere")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(GqvaeError, match="is not a tokenizer"):
        load_peer(f"hf:{tmp_path}")


def test_specs_of_trained_peers() -> None:
    assert parse_trained_peer("bpe:4096") == ("bpe", 4096)
    assert parse_trained_peer("unigram:257") == ("unigram", 257)
    for other in ("some/folder", "hf:folder", "bpe", "wordpiece:400"):
        assert parse_trained_peer(other) is None
    for bad in ("bpe:", "bpe:256", "bpe:-1", "unigram:4k", "bpe:١٢٣٤"):
        with pytest.raises(GqvaeError, match="257"):
            parse_trained_peer(bad)
    with pytest.raises(GqvaeError, match="unknown peer 'wordpiece:400'"):
        train_peer("wordpiece:400", DOCUMENTS)


def test_an_id_out_of_range(bpe: HuggingFaceTokenizer) -> None:
    with pytest.raises(GqvaeError, match="bpe:400 has no id 400"):
        bpe.decode_bytes([400])
