"""Which document goes to which shard, and with which others it travels. It follows from the documents alone.

- A shard takes documents as long as their text fits into `shard_bytes`, and one that is longer alone; but no more than
  2^23, as their offsets are held in memory. It therefore has at most that many tokens, and ends of documents.
- Its documents travel in batches of about a megabyte.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gqvae.corpus import TextHash
from gqvae.corpus.documents import Document, LongDocument, utf8
from gqvae.pretokens.batches import safe_blocks

_BATCH_BYTES = 1 << 20
_MOST_DOCUMENTS = 1 << 23  # of a shard


@dataclass(frozen=True)
class Batch:
    """Documents of one shard that follow each other; corpus_sha256 is that of all text up to their end.

    goes_on: the last is a part of a long one, which the next batch continues.
    """

    shard: int
    documents: list[bytes]
    corpus_sha256: str
    goes_on: bool = False


def plan(documents: Iterable[Document], shard_bytes: int, pattern: str) -> Iterator[Batch]:
    """Cut the documents into batches that never cross the end of a shard.

    pattern: what a long document, of which only a part is in memory at a time, may be cut by.
    """
    text = TextHash()
    shard = in_shard = in_batch = count = 0
    batch: list[bytes] = []
    for number, document in enumerate(documents, 1):
        size, parts = _parts(document, number, pattern)
        full = (in_shard > 0 and in_shard + size > shard_bytes) or count == _MOST_DOCUMENTS
        if batch and (full or in_batch >= _BATCH_BYTES):
            yield Batch(shard, batch, text.hexdigest())
            batch, in_batch = [], 0
        if full:
            shard, in_shard, count = shard + 1, 0, 0
        in_shard, count = in_shard + size, count + 1
        for part, last in parts:
            text.extend(part)
            batch.append(part)
            in_batch += len(part)
            if not last:
                yield Batch(shard, batch, text.hexdigest(), goes_on=True)
                batch, in_batch = [], 0
        text.end()
    if batch:
        yield Batch(shard, batch, text.hexdigest())


def _parts(document: Document, number: int, pattern: str) -> tuple[int, Iterator[tuple[bytes, bool]]]:
    """The bytes of a document, and its parts, each with whether it is the last."""
    if isinstance(document, LongDocument):
        return len(document), _last_marked(safe_blocks(map(str.encode, document), pattern))
    data = utf8(document, number)
    return len(data), iter([(data, True)])


def _last_marked(parts: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    held = next(parts)
    for part in parts:
        yield held, False
        held = part
    yield held, True
