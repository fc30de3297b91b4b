"""What a tokenizer does to a text, in bytes.

Bytes per token is the UTF-8 bytes of the untouched documents over the tokens of those same documents; nothing
is filtered, no separator or special token is added, and a vocabulary size counts every id there is.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol, TypedDict

from gqvae.corpus.documents import utf8
from gqvae.errors import GqvaeError


class TokenizerLike(Protocol):
    """What it takes to be measured. `gqvae.Tokenizer` has it; `gqvae.evaluation.peers` gives it to others."""

    @property
    def name(self) -> str: ...

    @property
    def vocab_size(self) -> int:
        """Every id that exists: bytes, learned tokens and special tokens."""
        ...

    def encode(self, text: str, /) -> list[int]: ...

    def decode_bytes(self, ids: Sequence[int], /) -> bytes: ...


class Row(TypedDict):
    """One tokenizer on one text.

    `bytes`, `tokens` and `documents` are totals over the documents; `bytes_per_token` is 0 when there are no
    tokens; `lossless` is true when every document decoded to exactly its own bytes; `used_ids` counts the
    distinct ids that occurred; `note` says what a reader of the figures has to know, or is empty.
    """

    name: str
    vocab_size: int
    documents: int
    bytes: int
    tokens: int
    bytes_per_token: float
    lossless: bool
    used_ids: int
    note: str


class RatedRow(Row):
    """A row of a table: `ratio` is its bytes per token over those of the table's reference."""

    ratio: float | None


class _Tally:
    """The running totals of one tokenizer."""

    def __init__(self, tokenizer: TokenizerLike) -> None:
        self.tokenizer = tokenizer
        self.documents = self.bytes = self.tokens = 0
        self.ids: set[int] = set()
        self.lost: list[int] = []  # numbers, from 1, of the documents that did not come back

    def add(self, text: str, data: bytes) -> None:
        ids = self.tokenizer.encode(text)
        self.documents += 1
        self.bytes += len(data)
        self.tokens += len(ids)
        self.ids.update(ids)
        if self.tokenizer.decode_bytes(ids) != data:
            self.lost.append(self.documents)

    def row(self) -> Row:
        notes = [note] if (note := getattr(self.tokenizer, "note", "")) else []
        if self.lost:
            notes.append(
                f"{len(self.lost)} of {self.documents} documents changed by encoding and decoding, "
                f"the first is number {self.lost[0]}"
            )
        if self.ids and max(self.ids) >= self.tokenizer.vocab_size:
            notes.append(f"id {max(self.ids)} occurred: there are more ids than vocab_size counts")
        return Row(
            name=self.tokenizer.name,
            vocab_size=self.tokenizer.vocab_size,
            documents=self.documents,
            bytes=self.bytes,
            tokens=self.tokens,
            bytes_per_token=self.bytes / self.tokens if self.tokens else 0.0,
            lossless=not self.lost,
            used_ids=len(self.ids),
            note="; ".join(notes),
        )


def compare(tokenizers: Sequence[TokenizerLike], documents: Iterable[str]) -> list[Row]:
    """Measure every tokenizer on the same documents, in one pass: the documents may be a stream.

    A tokenizer may carry a `note`, which ends up in its row. Raises GqvaeError when the documents hold no
    text at all, since every ratio would be meaningless.
    """
    tallies = [_Tally(tokenizer) for tokenizer in tokenizers]
    size = 0
    for number, text in enumerate(documents, 1):
        data = utf8(text, number)
        size += len(data)
        for tally in tallies:
            tally.add(text, data)
    if not size:
        raise GqvaeError("nothing to evaluate on: the corpus holds no text")
    return [tally.row() for tally in tallies]


def rate(rows: Sequence[Row], reference: int) -> list[RatedRow]:
    """Add to each row its ratio to the row numbered `reference`; None where that has no bytes per token."""
    base = rows[reference]["bytes_per_token"]
    return [RatedRow(**row, ratio=row["bytes_per_token"] / base if base else None) for row in rows]


def evaluate(tokenizer: TokenizerLike, documents: Iterable[str]) -> Row:
    """Measure one tokenizer; see `compare`.

    >>> class Bytes:
    ...     name, vocab_size = "bytes", 256
    ...     def encode(self, text): return list(text.encode())
    ...     def decode_bytes(self, ids): return bytes(ids)
    >>> row = evaluate(Bytes(), ["naïve", "text"])
    >>> row["bytes"], row["tokens"], row["bytes_per_token"], row["lossless"], row["used_ids"]
    (10, 10, 1.0, True, 8)
    """
    return compare([tokenizer], documents)[0]
