"""The paper's baseline: a token at every k-th byte, whatever stands there.

Trained as a GQ-VAE that reads windows of k bytes: a code must say its piece without context, so an encoder that sees
the piece alone loses nothing.
"""

from collections.abc import Sequence
from functools import partial
from itertools import chain
from typing import Any

from gqvae.memo import Memo
from gqvae.patterns import cut, split_text
from gqvae.tokenizer import Tokenizer


class FixedLengthTokenizer:
    """Cuts pretokens every `span` bytes (at a character's end, where that is possible).

    A piece that is in the vocabulary is one token; another is spelled by the tokens that score best for it, so that no
    text is lost.
    """

    note = ""

    def __init__(self, tokenizer: Tokenizer, span: int) -> None:
        self.name = tokenizer.name
        self.vocab_size = tokenizer.vocab_size
        self.decode_bytes = tokenizer.decode_bytes
        self._tokenizer, self._span = tokenizer, span
        self._ids_of = Memo(partial(map, self._of_pretoken))

    def __reduce__(self) -> tuple[Any, ...]:
        return FixedLengthTokenizer, (self._tokenizer, self._span)

    def encode(self, text: str) -> list[int]:
        return list(chain.from_iterable(self._ids_of.values_of(split_text(text, self._tokenizer.pattern))))

    def _of_pretoken(self, pretoken: str) -> tuple[int, ...]:
        return tuple(chain.from_iterable(map(self._of_piece, cut(pretoken.encode(), self._span))))

    def _of_piece(self, piece: bytes) -> Sequence[int]:
        known = self._tokenizer.vocabulary.id_of.get(piece)
        return self._tokenizer.encode_pretoken(piece) if known is None else (known,)
