"""Counting a corpus: its batches, shared out to threads, added up."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from gqvae.patterns import compiled_pattern, cut
from gqvae.pretokens.batches import Batches
from gqvae.pretokens.pieces import Counts, count_pieces
from gqvae.pretokens.table import PretokenTable
from gqvae.pretokens.tally import Tally

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def count_pretokens(
    documents: Iterable[str],
    *,
    pattern: str,
    window: int,
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> PretokenTable:
    """Count the pretokens of all documents, those longer than `window` bytes cut by `cut`.

    workers: threads that count (Arrow and numpy, which do nearly all the work, let them run side by side). The table
    is the same whatever the number. Memory grows with the distinct pretokens and the longest document, not with the
    corpus. progress: called with the bytes of each batch when it is counted (about a MiB).
    """
    compiled_pattern(pattern)
    cut(b"", window)  # an unknown pattern or a bad window is told here, not by a thread
    corpus, tally = Batches(documents, pattern), Tally()
    with ThreadPoolExecutor(max(1, workers)) as threads:
        for found, size in _ahead(threads, partial(_count, pattern=pattern, window=window), corpus, 2 * workers):
            tally.add(found)
            if progress:
                progress(size)
    return PretokenTable.of(tally.rows(), pattern, window, corpus.provenance())


def _count(batch: list[bytes], pattern: str, window: int) -> tuple[Counts, int]:
    return count_pieces(batch, pattern, window), sum(map(len, batch))


def _ahead(
    threads: ThreadPoolExecutor, function: Callable[[_Item], _Result], items: Iterable[_Item], ahead: int
) -> Iterator[_Result]:
    """`map` in order, with at most `ahead` items under way."""
    waiting: deque[Future[_Result]] = deque()
    for item in items:
        waiting.append(threads.submit(function, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
