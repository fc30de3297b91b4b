"""Figures are recomputed here by hand."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from gqvae.errors import GqvaeError
from gqvae.evaluation import TokenizerLike, compare, evaluate, load_peer, train_peer

STORY = (
    "Once upon a time there was a little girl named Lily. She loved to play in the garden, and the garden "
    "loved her too. One day she found a red ball. “It’s mine!” said the café’s dog. 日本語 too.\n"
)
DOCUMENTS = [STORY, STORY.upper(), STORY * 3 + "the end", "<|endoftext|>", "\x00\x01\x7f\x80\xff"]


@pytest.fixture(scope="module")
def bpe() -> TokenizerLike:
    return train_peer("bpe:400", DOCUMENTS)


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


def test_a_row_holds_totals_over_the_untouched_text(bpe: TokenizerLike) -> None:
    ids = [bpe.encode(text) for text in DOCUMENTS]
    row = evaluate(bpe, iter(DOCUMENTS))
    assert row["name"] == "bpe:400"
    assert row["vocab_size"] == 400
    assert row["documents"] == len(DOCUMENTS)
    assert row["bytes"] == sum(len(text.encode()) for text in DOCUMENTS)
    assert row["tokens"] == sum(map(len, ids))
    assert row["bytes_per_token"] == row["bytes"] / row["tokens"]
    assert row["used_ids"] == len({id_ for one in ids for id_ in one})
    assert row["lossless"] is True
    assert row["note"] == ""


def test_all_tokenizers_see_the_same_stream(bpe: TokenizerLike) -> None:
    together = compare([bpe, Halves()], (text for text in DOCUMENTS))
    assert together == [evaluate(bpe, DOCUMENTS), evaluate(Halves(), DOCUMENTS)]


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
    with pytest.raises(GqvaeError, match=r"document 1 has the lone surrogate '\\ud800'"):
        evaluate(Halves(), ["a\ud800"])


def test_a_tokenizer_that_loses_text_is_caught(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0, "some": 1, "##thing": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    row = evaluate(load_peer(f"hf:{tmp_path}"), ["something else", "something"])
    assert row["lossless"] is False
    assert "1 of 2 documents" in row["note"]
