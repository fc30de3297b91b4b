"""Proof that a saved tokenizer is whole and lossless."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gqvae.awkward import AWKWARD_BYTES, AWKWARD_TEXT, special_texts
from gqvae.errors import GqvaeError
from gqvae.names import load
from gqvae.tokenizer import Tokenizer


@dataclass(frozen=True)
class Check:
    """One thing `verify` proved, or failed to."""

    name: str
    ok: bool
    detail: str
    round_trip: bool = False
    """Whether it is that text comes back."""


def verify(folder: str | Path, samples: Iterable[str | bytes] = ()) -> list[Check]:
    """Prove that the tokenizer in `folder`, or bundled under that name, is whole and lossless.

    Checks: the file with its hash and self-test, what each id decodes to, the round trip of every token, of random
    bytes, of awkward text and of `samples`. That ids are dense and all bytes among them is how a file is read: it
    holds no others.
    """
    try:
        tokenizer = load(folder)
    except GqvaeError as error:
        return [Check("file, hash, self-test", False, str(error))]
    tokens = tokenizer.vocabulary.tokens
    plain = tokenizer.vocabulary.plain_tokens
    spelling = all(tokenizer.decode_bytes([index]) == token for index, token in enumerate(tokens))
    unreached = sum(tokenizer.encode(token) != [index] for index, token in enumerate(plain))
    lost = [token for token in tokens if tokenizer.decode_bytes(tokenizer.encode(token)) != token]
    awkward: list[str | bytes] = [*AWKWARD_TEXT, *AWKWARD_BYTES, *special_texts(tokenizer.vocabulary.specials)]
    return [
        Check("file, hash, self-test", True, tokenizer.name),
        Check("ids decode to their tokens", spelling, f"{len(tokens)} ids, {len(tokens) - len(plain)} special"),
        Check("tokens round-trip", not lost, f"{unreached} of {len(plain)} are not their own ids", True),
        _round_trip("random bytes round-trip", tokenizer, _random_bytes()),
        _round_trip("awkward text round-trips", tokenizer, awkward),
        _round_trip("samples round-trip", tokenizer, samples),
    ]


def _round_trip(name: str, tokenizer: Tokenizer, texts: Iterable[str | bytes]) -> Check:
    count = size = 0
    for text in texts:
        data = text.encode() if isinstance(text, str) else text
        if tokenizer.decode_bytes(tokenizer.encode(text)) != data:
            return Check(name, False, f"lost: {text[:60]!r}", True)
        count, size = count + 1, size + len(data)
    return Check(name, True, f"{count} texts, {size} bytes", True)


def _random_bytes() -> list[bytes]:
    generator = random.Random(0)
    return [generator.randbytes(generator.randrange(1, 200)) for _ in range(1000)]
