"""Encoding speed, relative to another tokenizer's and on text that neither has met."""

from typing import Any

import pytest
from measured import TOKENIZERS, TOY, Bytes
from toys import TEXT

from gqvae.errors import GqvaeError
from gqvae.evaluation.intrinsic import relative_speed
from gqvae.evaluation.metrics import TokenizerLike


class Slow(Bytes):
    """Slow where it meets new text."""

    def __init__(self) -> None:
        self.met: set[str] = set()

    def __reduce__(self) -> tuple[Any, ...]:
        return Slow, ()

    def encode(self, text: str) -> list[int]:
        for _ in range(1 if text in self.met else 100):
            ids = super().encode(text)
        self.met.add(text)
        return ids


def test_speed_is_relative_and_that_on_new_text() -> None:
    slow, documents = Slow(), [f"{number} {TEXT}" for number in range(40)]
    for document in documents:
        slow.encode(document)
    assert relative_speed(slow, Bytes(), documents) < 0.5 < 2 < relative_speed(Bytes(), slow, documents)


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=lambda tokenizer: tokenizer.name)
@pytest.mark.parametrize("documents", [[TEXT], [TEXT, ""], [TEXT] * 3])
def test_speed_of_every_kind_of_tokenizer(tokenizer: TokenizerLike, documents: list[str]) -> None:
    """Each can be copied; within a hundredfold of itself."""
    assert 0.01 < relative_speed(tokenizer, tokenizer, documents, repeats=1) < 100


@pytest.mark.parametrize("documents", [[], [""], ["a"]])
def test_speed_needs_text(documents: list[str]) -> None:
    with pytest.raises(GqvaeError, match="too little text"):
        relative_speed(TOY, TOY, documents)
