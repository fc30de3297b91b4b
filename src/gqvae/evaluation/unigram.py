"""The Unigram model of SentencePiece, as a peer (Kudo 2018, arXiv 1804.10959)."""

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from gqvae.errors import GqvaeError

SPACE = "\u2581"
"""What SentencePiece writes for a space. It would read the character itself as one, too."""
RESERVED = f"\0{SPACE}\u2585"
"""Characters that are never part of a piece. In training SentencePiece would count the first as its commonest piece,
read the second as a space, and drop any document with the third."""

COVERAGES = (0.9995, 0.99, 0.98)
"""Shares of a text's characters that get an id each: SentencePiece's default, and less, down to its least."""

# At most 1,000 characters, up to a space if there is one: SentencePiece drops what is longer than 4,192 bytes, and its
# probabilities underflow in stretches of 100,000 characters without a space. Words begin at a space anyway.
_SENTENCE = re.compile(f"[^{RESERVED}]{{1,1000}}(?![^{RESERVED} ])|[^{RESERVED}]{{1,1000}}")


class UnigramTokenizer:
    """A SentencePiece model measured fairly: every byte can be spelled, nothing is added to the text or taken away.

    `note` is what a table should say of this tokenizer, or empty.
    """

    def __init__(self, model: bytes, name: str, note: str = "") -> None:
        from sentencepiece import SentencePieceProcessor

        self.name, self.note = name, note
        self._processor: Any = SentencePieceProcessor(model_proto=model)
        self._bytes_of = {id_: self._token_bytes(id_) for id_ in range(self.vocab_size)}
        self._space_character = [self._processor.piece_to_id(f"<0x{byte:02X}>") for byte in SPACE.encode()]

    @property
    def vocab_size(self) -> int:
        """Every id: bytes, pieces, `<unk>` and the end of a document."""
        return int(self._processor.get_piece_size())

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text`; SPACE itself is spelled by its bytes."""
        first, *others = text.split(SPACE)
        ids: list[int] = self._processor.encode(first)
        for other in others:
            ids += self._space_character
            ids += self._processor.encode(other)
        return ids

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        """Return the bytes the ids stand for."""
        try:
            return b"".join([self._bytes_of[id_] for id_ in ids])
        except KeyError as error:
            raise GqvaeError(f"{self.name} has no id {error}") from error

    def _token_bytes(self, id_: int) -> bytes:
        piece: str = self._processor.id_to_piece(id_)
        if self._processor.is_byte(id_):
            return bytes([int(piece[3:5], 16)])  # "<0x0A>"
        return piece.replace(SPACE, " ").encode()


def train_unigram(documents: Iterable[str], size: int, special: str, name: str) -> UnigramTokenizer:
    """Train a model of `size` ids, or of as many as the text gives; the same text gives the same model.

    SentencePiece's own defaults, but for what losslessness needs: no normalisation, bytes for rare characters, no space
    added or removed (hence pieces for runs of spaces), and all of every document is read. Where `size` has no room for
    99.95% of the text's characters, as by default, less of them get an id, and `note` says so. Beside the bytes and
    `special`, an id goes to the `<unk>` that SentencePiece insists on and text never gives. Holds the documents in
    memory.

    Args:
        special: name of the one control symbol.

    Raises GqvaeError if there is no text, or if `size` has no room even for the common characters.
    """
    sentences = list(_sentences(documents))  # at once: SentencePiece would make an error of its own of an interruption
    if not sentences:
        raise GqvaeError("there is no text to train Unigram on")
    needed = 0
    for coverage in COVERAGES:
        note = f"spells the rarest {1 - coverage:.0%} of the characters in bytes, to have room in {size} ids"
        try:
            return UnigramTokenizer(_train(sentences, size, special, coverage), name, note if needed else "")
        except RuntimeError as error:
            found = re.search(r"required_chars\. \d+ vs (\d+)", str(error))
            if not found:
                raise GqvaeError(f"SentencePiece cannot train {size} ids on this text: {error}") from error
            needed = int(found[1])
    raise GqvaeError(
        f"Unigram needs {needed} ids for the bytes and common characters of this text, not {size}: ask for more"
    )


def _train(sentences: Sequence[str], size: int, special: str, coverage: float) -> bytes:
    from sentencepiece import SentencePieceTrainer

    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_writer=model, model_type="unigram", vocab_size=size,
        hard_vocab_limit=False,  # fewer ids, where the text has too few pieces; it changes nothing else
        byte_fallback=True, character_coverage=coverage, normalization_rule_name="identity", add_dummy_prefix=False,
        remove_extra_whitespaces=False, allow_whitespace_only_pieces=True,
        unk_id=0, bos_id=-1, eos_id=-1, pad_id=-1, control_symbols=[special], minloglevel=2,
    )  # fmt: skip
    return model.getvalue()


def _sentences(documents: Iterable[str]) -> Iterator[str]:
    """Yield the documents, cut so that nothing is dropped."""
    for document in documents:
        for sentence in _SENTENCE.findall(document):
            # newlines at its end would be stripped
            yield f"{sentence} " if sentence.endswith(("\n", "\r")) else sentence
