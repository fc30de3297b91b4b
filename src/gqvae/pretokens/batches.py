"""Documents -> batches of UTF-8 whose pieces are counted by themselves."""

from collections.abc import Iterable, Iterator
from typing import Any

from gqvae.boundaries import boundaries
from gqvae.corpus import TextHash
from gqvae.corpus.documents import Document, blocks, utf8
from gqvae.grouped import groups
from gqvae.patterns import check_broken

_BLOCK = 1 << 20  # characters of a block of a long document
_BATCH = 1 << 20  # bytes of a batch: fits the processor's cache with all that is made of it


class Batches:
    """The documents in batches of about a MiB, each a list of blocks, hashed and counted on the way.

    A long document is cut where that changes no pretoken, so that one huge file is shared out too and its
    pieces are never all in memory.
    """

    def __init__(self, documents: Iterable[Document], pattern: str) -> None:
        self._documents, self._pattern = documents, pattern
        self._text, self._count, self._bytes = TextHash(), 0, 0

    def provenance(self) -> dict[str, Any]:
        """Counts and hash of what has been read so far."""
        return {"documents": self._count, "bytes": self._bytes, "corpus_sha256": self._text.hexdigest()}

    def __iter__(self) -> Iterator[list[bytes]]:
        return groups(self._blocks(), _BATCH)

    def _blocks(self) -> Iterator[bytes]:
        for document in self._documents:
            self._count += 1
            for block in self._blocks_of(document):
                self._text.extend(block)
                self._bytes += len(block)
                yield block
            self._text.end()

    def _blocks_of(self, document: Document) -> Iterable[bytes]:
        if isinstance(document, str) and 0 < len(document) <= _BLOCK:  # as nearly all: no need to go through iterators
            return (utf8(document, self._count),)
        texts = (text[start : start + _BLOCK] for text in blocks(document) for start in range(0, len(text), _BLOCK))
        return safe_blocks((utf8(text, self._count) for text in texts), self._pattern)


def safe_blocks(parts: Iterable[bytes], pattern: str) -> Iterator[bytes]:
    """Cut a document, which comes in parts of whole characters, into blocks that split by themselves into its pieces.

    A block ends at the last certain boundary of a part; one that has none waits for the next. Raises GqvaeError where
    more than `UNBROKEN` bytes would wait.
    """
    known = boundaries(pattern)
    waiting: list[bytes] = []
    for part in parts:
        if waiting and known and (end := known.last_cut(part)):
            yield b"".join([*waiting, part[:end]])
            waiting = [part[end:]]
        else:
            waiting.append(part)
            check_broken(sum(map(len, waiting)), pattern)
    if waiting:
        yield b"".join(waiting)
