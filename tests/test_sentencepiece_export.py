"""SentencePiece holds a tokenizer exactly, or is refused with the reason."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toys import TEXT, toy

from gqvae.awkward import AWKWARD_TEXT
from gqvae.errors import GqvaeError
from gqvae.export.sentencepiece import build_sentencepiece, export_sentencepiece
from gqvae.tokenizer import Tokenizer
from gqvae.vocabulary import Vocabulary

sentencepiece = pytest.importorskip("sentencepiece")


def of(*learned: str, scores: tuple[float, ...] = (), pattern: str = "none") -> Tokenizer:
    vocabulary = Vocabulary(tuple(token.encode() for token in learned), ("<|endoftext|>",))
    return Tokenizer(vocabulary, [-8.0] * 256 + list(scores or [-2.0] * len(learned)), pattern, "pieces")


WORDS = of(
    "he",
    "the",
    " the",
    "  ",
    "\n\n",
    "rain",
    "ing",
    " раз",
    "天气",
    "\r\n",
    scores=(-3.5, -2.75, -2.5, -4, -5, -3, -2, -3, -3.25, -4.5),
)


def loaded(tokenizer: Tokenizer) -> Any:
    return sentencepiece.SentencePieceProcessor(model_proto=build_sentencepiece(tokenizer))


PROCESSOR = loaded(WORDS)


def test_the_report(tmp_path: Path) -> None:
    report = export_sentencepiece(WORDS, tmp_path / "sp", [TEXT])
    assert (report["ids_equal"], report["checked_with"], report["documents"]) == (True, ["sentencepiece"], 1)
    assert (report["vocab_size"], report["model_size"]) == (267, 267 + 128)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "sp/tokenizer.model"))
    for text in (*AWKWARD_TEXT, TEXT):
        assert processor.encode(text) == WORDS.encode(text)
        assert processor.decode(WORDS.encode(text)) == text
    assert processor.piece_to_id("<|endoftext|>") == 266
    assert processor.is_control(266)


@given(st.one_of(st.text(), st.text("the rain\n天气раз", max_size=60)))
def test_ids_equal_on_any_text(text: str) -> None:
    if "\u2581" in text:  # it is a space there
        return
    ids = PROCESSOR.encode(text)
    assert ids == WORDS.encode(text)
    assert PROCESSOR.decode(ids) == text


@pytest.mark.parametrize(
    ("tokenizer", "reason"),
    [
        (of("the", pattern="gpt2"), "no pretokens"),
        (toy("none"), "ends within a character"),
        (of("a\0"), "NUL"),
        (of("a\u2581"), "its space"),
    ],
)
def test_what_it_cannot_hold_is_refused(tokenizer: Tokenizer, reason: str, tmp_path: Path) -> None:
    with pytest.raises(GqvaeError, match=reason):
        export_sentencepiece(tokenizer, tmp_path / "sp")
    assert list(tmp_path.iterdir()) == []


def test_ids_that_differ_are_found_and_nothing_is_written(tmp_path: Path) -> None:
    """é costs two bytes here, and there as much as any unknown character: more than to spell it with the x."""
    tokenizer = of("xé", "yx", scores=(-9.5, -1))
    with pytest.raises(GqvaeError, match="ids differ on 'yxé' in sentencepiece"):
        export_sentencepiece(tokenizer, tmp_path / "sp", ["yxé"])
    assert list(tmp_path.iterdir()) == []


def test_what_single_precision_tells_apart_is_refused_with_the_reason(tmp_path: Path) -> None:
    """Seven spaces score the same in either order."""
    tokenizer, text = of("   ", "    ", scores=(-4.38, -4.03)), "##       "
    assert loaded(tokenizer).encode(text) != tokenizer.encode(text)
    with pytest.raises(GqvaeError, match=r"ids differ on .* \(SentencePiece adds scores in single precision: of segm"):
        export_sentencepiece(tokenizer, tmp_path / "sp", [text])
    assert not list(tmp_path.iterdir())
