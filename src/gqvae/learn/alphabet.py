"""What the model reads: bytes, or the tokens of another tokenizer.

Inside `gqvae.learn` a text is a str of symbols, one character each: chr(b) for a byte (Latin-1), chr(i) for token i of
the base tokenizer. Over tokens a model can learn whole phrases with short windows: a second GQ-VAE, stacked on the
first. Single bytes are the symbols below 256 in both.
"""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from gqvae.config import LARGEST_BASE
from gqvae.errors import GqvaeError
from gqvae.patterns import cut
from gqvae.pretokens import PretokenTable
from gqvae.tokenizer import Tokenizer
from gqvae.vocabulary import BYTES

if TYPE_CHECKING:
    import numpy.typing

WHOLE = 1 << 16
"""Bytes at which pretokens are cut that a base tokenizer will read."""


@dataclass(frozen=True)
class Alphabet:
    """The symbols of a model.

    Args:
        base: the tokenizer whose tokens they are; None: bytes.
    """

    base: Tokenizer | None = None

    def __post_init__(self) -> None:
        if self.base is not None and self.size > LARGEST_BASE:
            raise GqvaeError(f"a base tokenizer has at most {LARGEST_BASE} ids, not {self.size}")

    @property
    def size(self) -> int:
        """How many symbols there are."""
        return BYTES if self.base is None else len(self.base.vocabulary.plain_tokens)

    def read(self, text: bytes, window: int) -> list[str]:
        """A pretoken as strings of at most `window` symbols: bytes are cut at characters and words, tokens anywhere."""
        if self.base is None:
            return [part.decode("latin-1") for part in cut(text, window)]
        symbols = "".join(map(chr, self.base.encode(text)))
        return [symbols[start : start + window] for start in range(0, len(symbols), window)]

    def text(self, symbols: str) -> bytes:
        """The bytes that symbols stand for."""
        if self.base is None:
            return symbols.encode("latin-1")
        return b"".join(self._tokens[ord(symbol)] for symbol in symbols)

    @cached_property
    def _tokens(self) -> tuple[bytes, ...]:
        assert self.base is not None
        return self.base.vocabulary.plain_tokens


@dataclass(frozen=True)
class SymbolTable:
    """The distinct pretokens of a text as the model reads them, most frequent first."""

    pieces: list[str]
    counts: "numpy.typing.NDArray[numpy.int64]"
    texts: list[bytes]
    """The bytes of each piece."""

    @classmethod
    def of(cls, table: PretokenTable, alphabet: Alphabet, window: int) -> "SymbolTable":
        counts: Counter[str] = Counter()
        for text, count in zip(table.pieces, table.counts.tolist(), strict=True):
            for piece in alphabet.read(text, window):
                counts[piece] += count
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        pieces = [piece for piece, _ in ranked]
        numbers = np.array([count for _, count in ranked], dtype=np.int64)
        return cls(pieces, numbers, [alphabet.text(piece) for piece in pieces])

    @property
    def total_bytes(self) -> int:
        return sum(len(text) * count for text, count in zip(self.texts, self.counts.tolist(), strict=True))
