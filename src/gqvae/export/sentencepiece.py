"""A SentencePiece model, `tokenizer.model`, where there can be one.

SentencePiece finds the best segmentation as we do, but of characters, in single precision and without pretokens, and
text never gives it a byte but for a character that is no piece. So it can hold a tokenizer

- of the pattern "none",
- whose learned strings are text: no part of a character, no NUL, no U+2581 (its space).

Bytes 1 to 127 are pieces at their ids; 0 and the bytes above 127 are its byte pieces at theirs. It insists on 256 byte
pieces and an `<unk>`: 128 ids more, which text never gives, stand at the end. Whether ids are equal is then for the
comparison to say: a character that is no piece scores lower there than its bytes do here, and sums of scores in single
precision tie where ours do not, and do not where ours do: two runs of spaces may change places.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gqvae.errors import GqvaeError
from gqvae.export.parity import Proof, Runtime, expect, unreachable_ids, write_export
from gqvae.tokenizer import Tokenizer
from gqvae.vocabulary import BYTES, Vocabulary

FILE = "tokenizer.model"
SPACE = "\u2581"
PIECES = range(1, 128)
"""The bytes that are ordinary pieces."""
EXTRA = len(PIECES) + 1
"""Ids that SentencePiece insists on beside ours: byte pieces, and `<unk>`."""
CAUTION = (
    "SentencePiece adds scores in single precision: of segmentations that score the same, such as spaces in tokens of "
    "6 and 8 or of 8 and 6, it may find another"
)
NOTE = (
    f"SentencePiece reads the character U+2581 ({SPACE}) as a space, parses no special token in text, and adds "
    "scores in single precision: on documents longer than the longest compared ids may differ"
)


def export_sentencepiece(
    tokenizer: Tokenizer, folder: str | Path, samples: Iterable[str] | None = None
) -> dict[str, Any]:
    """Write `tokenizer.model` if its ids are equal on awkward text and `samples`.

    Returns the report of `export_huggingface`; "vocab_size" is ours, "model_size" that of the model.

    Raises GqvaeError, with the reason, where SentencePiece cannot hold the tokenizer.
    """
    _refuse_impossible(tokenizer)
    proof = proof_of(tokenizer, samples or ())

    def write(temporary: Path) -> dict[str, Any]:
        (temporary / FILE).write_bytes(build_sentencepiece(tokenizer))
        checked = check_sentencepiece(proof, tokenizer, temporary)
        report = proof.report("sentencepiece", unreachable_ids(tokenizer) + EXTRA, checked, NOTE)
        size = report["vocab_size"] + len(tokenizer.vocabulary.specials)
        return report | {"vocab_size": size, "model_size": size + EXTRA}

    return write_export(folder, write)


def proof_of(tokenizer: Tokenizer, samples: Iterable[str]) -> Proof:
    """What the model has to match. Special tokens are control pieces: text never gives them, nothing parses them."""
    vocabulary = Vocabulary(tokenizer.vocabulary.learned, ())
    return Proof.of(Tokenizer(vocabulary, tokenizer.scores, tokenizer.pattern, tokenizer.name), samples)


def check_sentencepiece(proof: Proof, tokenizer: Tokenizer, folder: Path) -> list[str]:
    """Compare the model with what `proof` expects; what it was loaded with. Raises GqvaeError."""
    from sentencepiece import SentencePieceProcessor

    processor: Any = SentencePieceProcessor(model_file=str(folder / FILE))
    text_size = processor.get_piece_size() - EXTRA - len(tokenizer.vocabulary.specials)
    proof.check(Runtime("sentencepiece", text_size, processor.encode, processor.decode, None, caution=CAUTION))
    for id_, name in enumerate(tokenizer.vocabulary.specials, start=text_size):
        same = processor.id_to_piece(id_) == name and processor.is_control(id_)
        expect(same, f"the special token {name!r} is not its own id")
    return ["sentencepiece"]


def _refuse_impossible(tokenizer: Tokenizer) -> None:
    if tokenizer.pattern != "none":
        raise GqvaeError(
            f"SentencePiece has no pretokens: it would merge across those of the pattern {tokenizer.pattern!r}. "
            "It can only hold a tokenizer of the pattern 'none'"
        )
    for token in tokenizer.vocabulary.learned:
        try:
            text = token.decode()
        except UnicodeDecodeError as error:
            raise GqvaeError(f"SentencePiece cannot hold the token {token!r}: it ends within a character") from error
        for character, what in (("\0", "NUL"), (SPACE, "U+2581, its space")):
            if character in text:
                raise GqvaeError(f"SentencePiece cannot hold the token {text!r}: it has {what} in it")


def build_sentencepiece(tokenizer: Tokenizer) -> bytes:
    """The model as a protocol buffer, ids as they are, then what SentencePiece insists on."""
    from sentencepiece import sentencepiece_model_pb2

    protocol: Any = sentencepiece_model_pb2  # its classes are made when it is imported
    model = protocol.ModelProto()
    kinds = protocol.ModelProto.SentencePiece

    def add(piece: str, kind: int, score: float = 0.0) -> None:
        model.pieces.add(piece=piece, type=kind, score=score)

    for id_, (token, score) in enumerate(zip(tokenizer.vocabulary.plain_tokens, tokenizer.scores, strict=True)):
        if id_ < BYTES and id_ not in PIECES:
            add(_byte_piece(id_), kinds.BYTE)
        else:
            add(token.decode().replace(" ", SPACE), kinds.NORMAL, score)
    for name in tokenizer.vocabulary.specials:
        add(name, kinds.CONTROL)
    for byte in PIECES:
        add(_byte_piece(byte), kinds.BYTE)
    add("<unk>", kinds.UNKNOWN)
    trainer, normalizer = model.trainer_spec, model.normalizer_spec
    trainer.model_type, trainer.vocab_size, trainer.byte_fallback = trainer.UNIGRAM, len(model.pieces), True
    trainer.unk_id, trainer.bos_id, trainer.eos_id, trainer.pad_id = len(model.pieces) - 1, -1, -1, -1
    normalizer.name, normalizer.add_dummy_prefix, normalizer.remove_extra_whitespaces = "identity", False, False
    normalizer.escape_whitespaces = True
    return bytes(model.SerializeToString())


def _byte_piece(byte: int) -> str:
    return f"<0x{byte:02X}>"
