"""Parallel text: how it is read, and how many tokens each language takes."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from measured import DOCUMENTS, TOY
from toys import TEXT

from gqvae.errors import GqvaeError
from gqvae.evaluation.intrinsic import measure, read_parallel


def test_languages_are_measured_on_their_own_text() -> None:
    texts = {"en": "the girl", "zh": "天气很好"}
    found = measure(TOY, DOCUMENTS, [TEXT], texts)
    tokens = {language: len(TOY.encode(text)) for language, text in texts.items()}
    assert found["tokens_per_language"] == tokens
    assert found["parity"] == max(tokens.values()) / min(tokens.values())
    assert measure(TOY, DOCUMENTS, [TEXT])["tokens_per_language"] is None


def test_parallel_text_is_read(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    rows = [{"language": "de", "text": "Hallo"}, {"language": "ja", "text": "やあ\u2028"}]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n\n" for row in rows), encoding="utf-8")
    assert read_parallel(path) == {"de": "Hallo", "ja": "やあ\u2028"}


def faulty() -> Iterator[tuple[str, str]]:
    yield '{"language": "de"}', ":1: no field 'text'"
    yield '{"language": "de", "text": "a"}\n{"text": "b"}', ":2: no field 'language'"
    yield '{"language": "de", "text": "a"}\n{"language": "de", "text": "b"}', "'de' occurs twice"
    yield '{"language": "de", "text": ""}', "'de' has the text ''"
    yield '{"language": "", "text": "a"}', "'' has the text 'a'"
    yield '{"language": "de", "text": "\\ud800"}', ":1: field 'text' has the lone surrogate"
    yield '{"language": 1, "text": "a"}', ":1: field 'language' is int"
    yield "[]", ":1: not a JSON object"
    yield "no", ":1: not valid JSON"
    yield "", "holds no texts"


@pytest.mark.parametrize(("content", "message"), faulty())
def test_bad_parallel_text_is_told(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(GqvaeError, match=message):
        read_parallel(path)


def test_parallel_text_that_is_not_there_or_not_jsonl_is_told(tmp_path: Path) -> None:
    with pytest.raises(GqvaeError, match=r"cannot read .*texts\.jsonl"):
        read_parallel(tmp_path / "texts.jsonl")
    with pytest.raises(GqvaeError, match=r"texts\.csv: give a \.jsonl"):
        read_parallel(tmp_path / "texts.csv")
