"""Documents -> pretoken counts: how often a corpus has each of the pieces a tokenizer never looks across.

A tokenizer is a function of the pretoken alone and text repeats, so every later stage works on this table:
after the count, cost grows with the vocabulary of the corpus and not with its size.
"""

import hashlib
import json
import signal
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice, pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gqvae.errors import GqvaeError
from gqvae.files import replacing
from gqvae.patterns import (
    PATTERNS,
    WORD_START,
    begins_at_words,
    compiled_pattern,
    cut,
    safe_blocks,
    split,
    split_text,
)

if TYPE_CHECKING:
    import numpy
    import numpy.typing

__all__ = ["PATTERNS", "PretokenTable", "count_pretokens", "cut", "split"]

_BLOCK = 1 << 20  # characters of a block of a long document
_BATCH = 1 << 22  # bytes of a batch: the larger, the less there is to add up
_BEFORE_PROCESSES = 4  # batches counted here first: a corpus that is done by then is done before processes start
_MOST_PARTS = 1 << 21  # remembered before they are split
_GROUP = 1 << 16  # parts split at once


@dataclass(frozen=True, eq=False)
class PretokenTable:
    """The distinct pretokens of a corpus and how often each occurs, most frequent first, ties by bytes.

    pieces: N distinct byte strings of 1..window bytes. counts: (N,) int64, positive.
    provenance: "documents", "bytes" and "corpus_sha256" of the text that was counted.
    """

    pieces: list[bytes]
    counts: "numpy.typing.NDArray[numpy.int64]"
    pattern: str
    window: int
    provenance: Mapping[str, Any]

    @property
    def total_count(self) -> int:
        """Pretokens in the corpus."""
        return sum(self.counts.tolist())

    @property
    def total_bytes(self) -> int:
        """Bytes in the corpus."""
        return sum(len(piece) * count for piece, count in zip(self.pieces, self.counts.tolist(), strict=True))

    def recut(self, pattern: str, window: int) -> "PretokenTable":
        """The same text cut by another pattern and window, inside the pieces of this one."""
        counts: Counter[bytes] = Counter()
        for piece, count in zip(self.pieces, self.counts.tolist(), strict=True):
            for part in split(piece, pattern):
                for short in cut(part, window):
                    counts[short] += count
        return _table(counts, pattern, window, dict(self.provenance))

    def save(self, path: Path) -> None:
        """Write Parquet: columns piece (binary) and count (int64); the rest as JSON in the metadata."""
        import pyarrow
        import pyarrow.parquet

        from gqvae import __version__

        about = {"gqvae": __version__, "pattern": self.pattern, "window": self.window}
        table = pyarrow.table(
            {"piece": pyarrow.array(self.pieces, pyarrow.large_binary()), "count": self.counts},
            metadata={"gqvae": json.dumps(about | {"provenance": dict(self.provenance)}, sort_keys=True)},
        )
        with replacing(path) as temporary:
            pyarrow.parquet.write_table(table, temporary, compression="zstd")

    @classmethod
    def load(cls, path: Path) -> "PretokenTable":
        """Read what `save` wrote. Raises GqvaeError for a file that is missing, damaged or not ours."""
        import pyarrow
        import pyarrow.parquet

        try:
            columns = pyarrow.parquet.read_table(path)
            about = json.loads((columns.schema.metadata or {})[b"gqvae"])
            pieces, counts = columns["piece"].to_pylist(), columns["count"].to_numpy()
            table = cls(pieces, counts, about["pattern"], about["window"], about["provenance"])
            table._check()
        except (OSError, pyarrow.ArrowException, KeyError, TypeError, ValueError) as error:
            raise GqvaeError(f"{path} is not a pretoken table ({error}); count the corpus again") from error
        return table

    def _check(self) -> None:
        if self.pattern not in PATTERNS or self.counts.dtype.name != "int64":
            raise ValueError(f"pattern {self.pattern!r}, counts of type {self.counts.dtype}")
        if not all(1 <= len(piece) <= self.window for piece in self.pieces):
            raise ValueError(f"a piece is empty or longer than {self.window} bytes")
        ranks = list(zip((-self.counts).tolist(), self.pieces, strict=True))
        if any(rank >= following for rank, following in pairwise(ranks)) or (ranks and ranks[-1][0] >= 0):
            raise ValueError("pieces are repeated or out of order, or counts not positive")
        if self.total_bytes != self.provenance["bytes"]:
            raise ValueError(f"{self.total_bytes} bytes counted, {self.provenance['bytes']} in the corpus")


def count_pretokens(
    documents: Iterable[str],
    *,
    pattern: str,
    window: int,
    workers: int = 0,
    progress: Callable[[int], None] | None = None,
) -> PretokenTable:
    """Count the pretokens of all documents, those longer than `window` bytes cut by `cut`.

    workers: processes, which start only after the first few MiB; 0 or 1 counts in this one. The table is the same
    whatever the number. Memory grows with the distinct pretokens and the longest document, not with the corpus.
    progress: called with the bytes of each batch when it is counted (a few MiB).
    """
    compiled_pattern(pattern)
    cut(b"", window)  # an unknown pattern or a bad window is told here, not by a worker
    corpus = _Batches(documents, pattern)
    parts: Counter[str] = Counter()
    totals: Counter[bytes] = Counter()
    with _Processes(workers) as processes:

        def split_parts() -> None:
            for counts in processes.map(partial(_count_pieces, pattern=pattern, window=window), _groups(parts)):
                totals.update(counts)
            parts.clear()

        for found, size in processes.map(partial(_count_parts, pattern=pattern), corpus):
            parts.update(found)
            if len(parts) > _MOST_PARTS:
                split_parts()
            if progress:
                progress(size)
        split_parts()
    return _table(totals, pattern, window, corpus.provenance())


class _Batches:
    """The documents as UTF-8, in batches of a few MiB, hashed and counted on the way.

    A long document is cut where that changes no pretoken, so that one huge file is shared out too and its
    pieces are never all in memory. The hash takes each document's bytes, then its length (8, big-endian).
    """

    def __init__(self, documents: Iterable[str], pattern: str) -> None:
        self._documents, self._pattern = documents, pattern
        self._hash, self._count, self._bytes = hashlib.sha256(), 0, 0

    def provenance(self) -> dict[str, Any]:
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
            before = self._bytes
            for block in safe_blocks(document, self._pattern, _BLOCK):
                try:
                    data = block.encode()
                except UnicodeEncodeError as error:
                    lone = error.object[error.start]
                    raise GqvaeError(f"document {self._count} has the lone surrogate {lone!r}") from error
                self._hash.update(data)
                self._bytes += len(data)
                yield data
            self._hash.update((self._bytes - before).to_bytes(8, "big"))


def _count_parts(batch: list[bytes], pattern: str) -> tuple[dict[str, int], int]:
    """How often a batch has each part that splits by itself, and its bytes.

    Parts of words are cut at spaces, which is fast; then the pattern, which is slow, reads each distinct one once.
    """
    if not begins_at_words(pattern):
        parts = Counter(chain.from_iterable(split_text(block.decode(), pattern) for block in batch))
        return dict(parts), sum(map(len, batch))
    words: Counter[str] = Counter()
    firsts: Counter[str] = Counter()  # where no space was cut off
    for block in batch:
        found = WORD_START.split(block.decode())
        firsts[found[0]] += 1
        words.update(found[1:])
    return firsts + Counter({f" {word}": count for word, count in words.items()}), sum(map(len, batch))


def _groups(parts: Counter[str]) -> Iterator[list[tuple[str, int]]]:
    items = iter(parts.items())
    while group := list(islice(items, _GROUP)):
        yield group


def _count_pieces(parts: list[tuple[str, int]], pattern: str, window: int) -> dict[bytes, int]:
    counts: Counter[bytes] = Counter()
    for part, count in parts:
        for piece in split_text(part, pattern):
            for short in cut(piece.encode(), window):
                counts[short] += count
    return dict(counts)


_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class _Processes:
    """`map` over processes, which start only after the first few items; with fewer than two in this one."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._here = _BEFORE_PROCESSES
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "_Processes":
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def map(self, function: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
        """Like the builtin, in order, with no more than two items a process read ahead."""
        rest = iter(items)
        if self._workers < 2:
            yield from map(function, rest)
            return
        for item in islice(rest, self._here):
            self._here -= 1
            yield function(item)
        waiting: deque[Future[_Result]] = deque()
        try:
            for item in rest:
                waiting.append(self._started().submit(function, item))
                if len(waiting) >= 2 * self._workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise GqvaeError("a counting process died (out of memory?); try fewer workers") from error

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            # spawn, not fork: the caller may have torch's threads running, and a fork of those can hang
            ignoring = signal.signal, (signal.SIGINT, signal.SIG_IGN)
            self._pool = ProcessPoolExecutor(self._workers, get_context("spawn"), *ignoring)
        return self._pool


def _table(totals: Mapping[bytes, int], pattern: str, window: int, provenance: dict[str, Any]) -> PretokenTable:
    import numpy

    ranked = sorted(totals.items(), key=lambda item: (-item[1], item[0]))
    counts = numpy.array([count for _, count in ranked], dtype=numpy.int64)
    return PretokenTable([piece for piece, _ in ranked], counts, pattern, window, provenance)
