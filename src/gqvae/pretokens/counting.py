"""Counting a corpus: its batches, shared out to threads or machines, added up."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from gqvae import machine
from gqvae.corpus.documents import Document
from gqvae.files import behind_links, reporting_os_errors
from gqvae.patterns import compiled_pattern, cut
from gqvae.pretokens.batches import Batches
from gqvae.pretokens.pieces import Counts, count_pieces
from gqvae.pretokens.table import PretokenTable, refuse_others, write_table
from gqvae.pretokens.tally import Tally

_THREAD = 100_000_000  # bytes that a thread and what it counts take at most

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class CountingMap(Protocol):
    """What counts the batches: like the builtin `map`, results in any order, a few items read ahead."""

    def __call__(
        self, function: Callable[[list[bytes]], Counts], batches: Iterable[list[bytes]], /
    ) -> Iterable[Counts]: ...


@dataclass(frozen=True)
class Counting:
    """How to count. The table is the same whatever is chosen.

    workers: threads, None for one a core or what memory allows (Arrow and numpy, which do nearly all the work, run
        side by side in them).
    memory: bytes, about, for what is counted; more distinct pretokens wait on disk. None: as `Tally` does.
    map: counts the batches in the place of threads, for example on other machines.
    """

    workers: int | None = None
    memory: int | None = None
    map: CountingMap | None = None

    def table(self, documents: Iterable[Document], pattern: str, window: int) -> PretokenTable:
        """Count the pretokens of all documents, those longer than `window` bytes cut by `cut`.

        Raises GqvaeError: the pattern is unknown, the window below 1, or a document has a lone surrogate.
        """
        machine.spare_addresses()
        with Tally(self.memory) as tally:
            provenance = self._count(documents, tally, pattern, window)
            return PretokenTable.of(tally.rows(), pattern, window, provenance)

    def to_file(self, documents: Iterable[Document], path: Path, pattern: str, window: int) -> int:
        """The file of `table`, of which nothing but `memory` is ever in memory; returns how many pretokens differ.

        What waits on disk does so beside `path`. Raises GqvaeError, besides, where `path` is something else than an
        earlier table: it could be the text.
        """
        machine.spare_addresses()
        path = behind_links(path)
        refuse_others(path)
        with reporting_os_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with Tally(self.memory, path.parent) as tally:
            provenance = self._count(documents, tally, pattern, window)
            return write_table(path, tally.rows(), pattern, window, provenance)

    def _count(self, documents: Iterable[Document], tally: Tally, pattern: str, window: int) -> dict[str, Any]:
        """Count everything into `tally`; returns where it came from."""
        compiled_pattern(pattern)
        cut(b"", window)  # an unknown pattern or a bad window is told here, not by a thread
        corpus = Batches(documents, pattern)
        counted = self.map or partial(map_in_threads, workers=self.workers or machine.workers(_THREAD))
        for found in counted(partial(count_pieces, pattern=pattern, window=window), corpus):
            tally.add(found)
        return corpus.provenance()


def count_pretokens(documents: Iterable[Document], *, pattern: str, window: int, **how: Any) -> PretokenTable:
    """`Counting(**how).table(documents, pattern, window)`."""
    return Counting(**how).table(documents, pattern, window)


def map_in_threads(function: Callable[[_Item], _Result], items: Iterable[_Item], workers: int) -> Iterator[_Result]:
    """`map` over threads, in order, with no more than two items a thread waiting."""
    waiting: deque[Future[_Result]] = deque()
    with ThreadPoolExecutor(workers) as threads:
        for item in items:
            waiting.append(threads.submit(function, item))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
