"""What the intrinsic measures are taken of: documents, and tokenizers of several kinds."""

from collections.abc import Sequence

from toys import TEXT, toy

from gqvae.evaluation.peers import train_peer

TOY = toy()
DOCUMENTS = [TEXT, TEXT[:50], "the girl, the rain the the"]
TOKENIZERS = [
    TOY,
    toy(pattern="none", longest=12),  # tokens across words
    train_peer("superbpe:400:300", [TEXT] * 3),
    train_peer("wordpiece:600", [TEXT] * 3),
    train_peer("unigram:400", [TEXT] * 3),
]


class Bytes:
    """A token a byte; to be varied."""

    name, vocab_size, note = "bytes", 256, ""

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        return bytes(ids)
