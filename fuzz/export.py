"""Any text through the Hugging Face export: our ids, and the text back."""

from fuzz.encode import SEEDS, TOKENIZERS
from fuzz.inputs import Choices
from gqvae.export import build_huggingface

__all__ = ["SEEDS", "check"]

EXPORTS = [build_huggingface(tokenizer) for tokenizer in TOKENIZERS]


def check(data: bytes) -> None:
    choices = Choices(data)
    ours, theirs = choices.of(list(zip(TOKENIZERS, EXPORTS, strict=True)))
    text = choices.rest().decode(errors="replace")
    for plain in (True, False):
        theirs.encode_special_tokens = plain
        ids = theirs.encode(text, add_special_tokens=False).ids
        assert ids == ours.encode(text, allowed_special=() if plain else "all")
        assert theirs.decode(ids, skip_special_tokens=False) == text
