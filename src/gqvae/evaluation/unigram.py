"""The Unigram model of SentencePiece, as a peer."""

import io
from collections.abc import Iterable, Sequence
from typing import Any

from gqvae.errors import GqvaeError

SPACE = "\u2581"
"""What SentencePiece writes for a space. It reads the character itself as one, too, which text seldom holds."""
LONGEST = 1 << 30
"""Bytes of a document; SentencePiece drops longer ones, by default those of more than 4,192."""


class UnigramTokenizer:
    """A SentencePiece model measured fairly: every byte can be spelled, nothing is added to the text or taken away."""

    def __init__(self, model: bytes, name: str, note: str = "") -> None:
        from sentencepiece import SentencePieceProcessor

        self.name, self.note = name, note
        self._processor: Any = SentencePieceProcessor(model_proto=model)
        self._bytes_of = list(map(self._token_bytes, range(self.vocab_size)))

    @property
    def vocab_size(self) -> int:
        """Every id: bytes, pieces, `<unk>` and the end of a document."""
        return int(self._processor.get_piece_size())

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._processor.encode(text)
        return ids

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        return b"".join([self._bytes_of[id_] for id_ in ids])

    def _token_bytes(self, id_: int) -> bytes:
        piece: str = self._processor.id_to_piece(id_)
        if self._processor.is_byte(id_):
            return bytes([int(piece[3:5], 16)])  # "<0x0A>"
        return piece.replace(SPACE, " ").encode()


def train_unigram(documents: Iterable[str], size: int, special: str) -> bytes:
    """Train a model of `size` ids, or of as many as the text gives; the same text gives the same model.

    SentencePiece's own defaults but for what losslessness needs: no normalisation, no space added or removed, bytes for
    rare characters, no document too long.

    Args:
        special: name of the one control symbol.
    """
    texts = list(documents)
    try:
        return _train(texts, size, special)
    except RuntimeError as error:
        if "Vocabulary size too high" not in str(error):
            raise GqvaeError(f"SentencePiece cannot train {size} ids on this text: {error}") from error
    return _train(texts, size, special, hard_vocab_limit=False)


def _train(texts: Sequence[str], size: int, special: str, **options: Any) -> bytes:
    from sentencepiece import SentencePieceTrainer

    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=model, model_type="unigram", vocab_size=size,
        byte_fallback=True, normalization_rule_name="identity", add_dummy_prefix=False, remove_extra_whitespaces=False,
        max_sentence_length=LONGEST, unk_id=0, bos_id=-1, eos_id=-1, pad_id=-1, control_symbols=[special],
        minloglevel=2,
        **options,
    )  # fmt: skip
    return model.getvalue()
