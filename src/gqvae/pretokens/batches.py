"""Documents -> batches of UTF-8 whose pieces are counted by themselves."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

from gqvae.errors import GqvaeError
from gqvae.patterns import safe_blocks

_BLOCK = 1 << 20  # characters of a block of a long document
_BATCH = 1 << 20  # bytes of a batch: fits the processor's cache with all that is made of it


class Batches:
    """The documents in batches of about a MiB, each a list of blocks, hashed and counted on the way.

    A long document is cut where that changes no pretoken, so that one huge file is shared out too and its
    pieces are never all in memory. The hash is the SHA-256 of the documents' SHA-256, one after the other.
    """

    def __init__(self, documents: Iterable[str], pattern: str) -> None:
        self._documents, self._pattern = documents, pattern
        self._hash, self._count, self._bytes = hashlib.sha256(), 0, 0

    def provenance(self) -> dict[str, Any]:
        """Of what has been read so far."""
        return {"documents": self._count, "bytes": self._bytes, "corpus_sha256": self._hash.hexdigest()}

    def __iter__(self) -> Iterator[list[bytes]]:
        batch, size = [], 0
        for block in self._blocks():
            batch.append(block)
            size += len(block)
            if size >= _BATCH:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _blocks(self) -> Iterator[bytes]:
        for document in self._documents:
            self._count += 1
            digest = hashlib.sha256()
            for block in safe_blocks(document, self._pattern, _BLOCK):
                try:
                    data = block.encode()
                except UnicodeEncodeError as error:
                    lone = error.object[error.start]
                    raise GqvaeError(f"document {self._count} has the lone surrogate {lone!r}") from error
                digest.update(data)
                self._bytes += len(data)
                if data:
                    yield data
            self._hash.update(digest.digest())
