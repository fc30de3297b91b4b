"""Work shared out over processes, in order and in bounded memory."""

import os
import signal
import threading
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import islice
from multiprocessing import connection, parent_process
from typing import Any, TypeVar

from gqvae.errors import GqvaeError

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_Text = TypeVar("_Text", bound=str | bytes)

_GROUP_CHARACTERS = 1 << 19  # large enough to hide the cost of sending, small enough to share out evenly
_function: Callable[[Any], Any]


def map_in_processes(function: Callable[[_Item], _Result], items: Iterable[_Item], workers: int) -> Iterator[_Result]:
    """Like the builtin `map`, in `workers` processes; with fewer than two in this one.

    The first item is done here, before any process starts: often there is no other, and what it leaves in memory
    (tables, frequent words) is there in processes that are forked. No more than two items a process are read ahead.
    `function` is sent once to each process, items and results travel, so all must be picklable.

    Raises GqvaeError where a process dies, and whatever `function` raises.
    """
    if workers < 2:
        yield from map(function, items)
        return
    rest = iter(items)
    yield from map(function, islice(rest, 1))
    waiting: deque[Future[_Result]] = deque()
    with ProcessPoolExecutor(workers, initializer=_start, initargs=(function,)) as pool:
        try:
            for item in rest:
                waiting.append(pool.submit(_call, item))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise GqvaeError("a worker process died (out of memory?): try fewer workers") from error
        finally:
            pool.shutdown(cancel_futures=True)


def encode_in_processes(
    encode: Callable[[list[_Text]], list[list[int]]], texts: Iterable[_Text], workers: int
) -> list[list[int]]:
    """`encode(list(texts))`, shared out over `workers` processes. `encode` must be picklable."""
    results: list[list[int]] = []
    shared = groups(texts, _GROUP_CHARACTERS)
    for ids, counts in map_in_processes(partial(_encode_group, encode=encode), shared, workers):
        start = 0
        for count in counts:
            results.append(ids[start : start + count].tolist())
            start += count
    return results


def groups(texts: Iterable[_Text], size: int) -> Iterator[list[_Text]]:
    """Texts that follow each other, until they have `size` characters together."""
    group: list[_Text] = []
    found = 0
    for text in texts:
        group.append(text)
        found += len(text)
        if found >= size:
            yield group
            group, found = [], 0
    if group:
        yield group


def _encode_group(
    texts: list[_Text], encode: Callable[[list[_Text]], list[list[int]]]
) -> "tuple[array[int], list[int]]":
    """The ids of all texts end to end, and how many each has. (An array travels much faster than a list.)"""
    ids, counts = array("I"), []
    for found in encode(texts):
        ids += array("I", found)  # faster than to extend
        counts.append(len(found))
    return ids, counts


def _start(function: Callable[[Any], Any]) -> None:
    global _function
    _function = function
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interruption is the parent's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A pool's processes would wait for work for ever if their parent were killed."""
    parent = parent_process()
    if parent:
        connection.wait([parent.sentinel])
        os._exit(1)


def _call(item: Any) -> Any:
    return _function(item)
