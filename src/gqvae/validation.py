"""Checks of what a tokenizer is made from, and of what it is to encode."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gqvae.errors import GqvaeError
from gqvae.vocabulary import special_pattern

# A score of this size with 6 decimals is an integer below 2**53 over a power of ten. Every JSON reader
# turns that into the same float64; of longer numbers, Hugging Face's reader (serde_json) may get the last
# bit wrong.
MAX_SCORE = 1e6
SCORE_DECIMALS = 6


def checked_scores(scores: Sequence[float], expected: int) -> tuple[float, ...]:
    """`scores` rounded to 6 decimals. Raises GqvaeError unless they are `expected` numbers up to 1e6."""
    if len(scores) != expected:
        raise GqvaeError(f"{len(scores)} scores for {expected} tokens: each byte and learned token needs one")
    rounded = tuple(round(float(score), SCORE_DECIMALS) + 0.0 for score in scores)  # + 0.0: no negative zero
    for index, score in enumerate(rounded):
        if not (math.isfinite(score) and abs(score) <= MAX_SCORE):
            raise GqvaeError(f"the score of token {index} is {score}: its size must be at most {MAX_SCORE:g}")
    return rounded


def checked_name(name: str) -> str:
    """`name`, if it can stand in a report and in a path."""
    acceptable = isinstance(name, str) and 1 <= len(name) <= 100 and name.isprintable()
    if not acceptable or name.startswith(".") or "/" in name or "\\" in name:
        shown = str(name)[:100]
        raise GqvaeError(f"bad tokenizer name {shown!r}: 1 to 100 printable characters, no slash, no first dot")
    return name


def checked_provenance(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """A deep copy of `provenance` as JSON gives it back. Raises GqvaeError for what JSON cannot hold."""
    if not isinstance(provenance, Mapping):
        raise GqvaeError("provenance must be a mapping")
    try:
        text = json.dumps(dict(provenance), allow_nan=False, ensure_ascii=False)
        text.encode()
        copy: dict[str, Any] = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise GqvaeError(f"provenance cannot be written as JSON: {error}") from error
    return copy


def checked_text(text: str) -> str:
    """`text`, if it has a UTF-8 encoding."""
    if not isinstance(text, str):
        raise GqvaeError(f"only str and bytes can be encoded, not {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise GqvaeError(
            f"the text holds a lone surrogate at character {error.start}, which is not valid Unicode: "
            "pass bytes, or replace it"
        ) from error
    return text


def checked_texts(texts: Iterable[str | bytes]) -> Iterable[str | bytes]:
    """`texts`, if it is not a single one, whose characters would count as texts."""
    if isinstance(texts, str | bytes):
        raise GqvaeError("several texts are asked for, and this is one: `encode` takes it, or put it in a list")
    return texts


def decoded_text(text: str | bytes, refused: frozenset[str]) -> str:
    """`text` as a str whose only surrogates, if any, are the escapes of bytes that are not UTF-8.

    refused: names of special tokens that may not be in it.
    """
    decoded = text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else checked_text(text)
    if refused and (found := special_pattern(refused).search(decoded)):
        raise GqvaeError(
            f"the text holds the special token {found[0]!r}: allow it with allowed_special, "
            "or take it out of disallowed_special to encode it as ordinary text"
        )
    return decoded
