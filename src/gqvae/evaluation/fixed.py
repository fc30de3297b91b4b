"""The paper's baseline: a token at every k-th byte, whatever stands there.

Trained as a GQ-VAE that reads windows of k bytes: a code must say its piece without context, so an encoder that sees
the piece alone loses nothing.
"""

from functools import partial
from itertools import chain

from gqvae.memo import Memo
from gqvae.patterns import cut, split_text
from gqvae.tokenizer import Tokenizer
from gqvae.viterbi import best_ids, build_trie


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
        vocabulary = tokenizer.vocabulary
        trie = build_trie(vocabulary.plain_tokens, tokenizer.scores)
        longest = max(map(len, vocabulary.plain_tokens))

        def piece_ids(piece: bytes) -> tuple[int, ...]:
            known = vocabulary.id_of.get(piece)
            return best_ids(piece, trie, longest, vocabulary.id_of) if known is None else (known,)

        def pretoken_ids(pretoken: str) -> tuple[int, ...]:
            return tuple(chain.from_iterable(map(piece_ids, cut(pretoken.encode(), span))))

        self._pattern = tokenizer.pattern
        self._ids_of = Memo(partial(map, pretoken_ids))

    def encode(self, text: str) -> list[int]:
        return list(chain.from_iterable(self._ids_of.values_of(split_text(text, self._pattern))))
