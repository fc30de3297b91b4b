"""Work shared out over processes, in order and in bounded memory.

The process that asks works too: of two, one is a child. Between items of its own it hands out others and takes results,
so neither may have to wait for the other: one thread of a child hears at once what there is to do, another tells what
is done. Items and results lie in memory that both share; an item's place is then its result's.
"""

import multiprocessing
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, islice
from multiprocessing import Pipe, current_process
from multiprocessing.connection import Connection
from typing import Any, Generic, Literal, TypeVar

from gqvae.errors import GqvaeError
from gqvae.parallel.shelf import Shelf
from gqvae.parallel.worker import Learner, Outcome, outcome, serve

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_PIPE_BYTES = 1 << 20  # the most that Linux grants to everyone
_AHEAD = 3  # items that a child has: one to work on, and the next while this process does one of its own


@dataclass(frozen=True)
class Elsewhere(Generic[_Item, _Result]):
    """What other processes do to an item."""

    function: Callable[[_Item], Any]
    """Gives what travels fast."""
    unpack: Callable[[Any], _Result]
    """Makes of it, here, what the function that is mapped gives."""


def map_in_processes(
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
    workers: int,
    elsewhere: Elsewhere[_Item, _Result] | None = None,
    learner: Learner | None = None,
) -> Iterator[_Result]:
    """Like the builtin `map`, in `workers` processes, of which this is one.

    The first item is done here, before any process starts: often there is no other, and what it leaves in memory
    (tables, frequent words) is there in processes that are forked. No more than four items a process are read ahead.
    What others do, `function` if `elsewhere` does not say otherwise, is sent once to each process, items and results
    travel, so all must be picklable. So does, as soon as it is known, what the `learner` in one process has found out.

    A process that may have no children (one of `multiprocessing.Pool`, or of a DataLoader) does it all itself.

    Raises GqvaeError where a process dies, and whatever `function` raises.
    """
    rest = iter(items)
    if current_process().daemon:
        workers = 1
    yield from map(function, rest if workers < 2 else islice(rest, 1))
    for item in rest:  # there is a second one
        there = elsewhere or Elsewhere(function, _as_it_is)
        yield from _shared_out(function, chain([item], rest), workers, there, learner or _Forgetful())


def _as_it_is(result: _Result) -> _Result:
    return result


class _Forgetful:
    def news(self) -> None:
        return None

    def learn(self, news: None) -> None:
        pass

    def quiet(self) -> None:
        pass


def _shared_out(
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
    workers: int,
    elsewhere: Elsewhere[_Item, _Result],
    learner: Learner,
) -> Iterator[_Result]:
    children: list[_Child[_Item, _Result]] = []
    here = _Here(function, learner, children)
    learner.quiet()  # whatever it found before
    learner.news()  # forked processes know it
    order: deque[_Here[_Item, _Result]] = deque()  # who does the items whose results are still to come
    try:
        children += (_Child(elsewhere, learner, children) for _ in range(workers - 1))
        for item in items:
            idlest = min(children, key=_Child.left)
            doer = idlest if idlest.left() < _AHEAD else here
            doer.begin(item)
            order.append(doer)
            while order and (order[0].ready() or len(order) > 4 * workers):
                yield order.popleft().result()
        while order:
            yield order.popleft().result()
    finally:
        for child in children:
            child.end()
        children.clear()  # which they hold, too
        learner.quiet()


class _Here(Generic[_Item, _Result]):
    """Applies a function to items, one after the other, in this process."""

    def __init__(
        self, function: Callable[[_Item], _Result], learner: Learner, children: "Sequence[_Child[_Item, _Result]]"
    ) -> None:
        self._function, self._learner, self._children = function, learner, children
        self._outcomes: deque[Outcome] = deque()

    def begin(self, item: _Item) -> None:
        self._outcomes.append(outcome(self._function, item))
        self._tell(self._learner.news())

    def _tell(self, news: Any) -> None:
        """Have the other processes hear it, each before the next item that it begins."""
        if news is not None:
            for child in self._children:
                if child is not self:
                    child.hear(news)

    def ready(self) -> bool:
        """Whether `result` need not wait."""
        return bool(self._outcomes)

    def result(self) -> _Result:
        """The result of the oldest item whose result was not taken yet. Raises what the function raised."""
        result, error = self._outcomes.popleft()
        if error:
            raise error
        return result  # type: ignore[no-any-return]


class _Child(_Here[_Item, _Result]):
    """Does so in a process of its own."""

    def __init__(
        self,
        elsewhere: Elsewhere[_Item, _Result],
        learner: Learner,
        children: "Sequence[_Child[_Item, _Result]]",
    ) -> None:
        super().__init__(elsewhere.function, learner, children)
        self._unpack = elsewhere.unpack
        self._shelf, self._free = Shelf(_AHEAD), list(range(_AHEAD))
        try:
            self._start(elsewhere.function, learner)
        except OSError as error:
            reason = error.strerror or error
            raise GqvaeError(f"a worker process cannot start ({reason}): try fewer workers") from error

    def _start(self, function: Callable[[_Item], Any], learner: Learner) -> None:
        with ExitStack() as opened:  # and closed again where the process cannot start
            opened.callback(self._shelf.close)
            its_items, self._items = map(opened.enter_context, Pipe(duplex=False))
            self._results, its_results = map(opened.enter_context, Pipe(duplex=False))
            _enlarge(self._items)
            _enlarge(its_results)
            arguments = function, learner, self._shelf, its_items, its_results, (self._items, self._results)
            self._process = _context().Process(target=serve, args=arguments, daemon=True)
            self._process.start()
            its_items.close()  # so that, when it has died, nobody holds the other ends
            its_results.close()
            opened.pop_all()

    def left(self) -> int:
        """How many items are not done yet."""
        self.ready()
        return _AHEAD - len(self._free)

    def begin(self, item: _Item) -> None:
        place = self._free.pop()
        self._send("item", (place, self._shelf.put(place, item)))

    def hear(self, news: Any) -> None:
        self._send("news", news)

    def _send(self, kind: Literal["item", "news"], what: Any) -> None:
        with _telling_death():
            self._items.send((kind, what))

    def ready(self) -> bool:
        while len(self._free) < _AHEAD and self._results.poll():
            self._receive()
        return bool(self._outcomes)

    def result(self) -> _Result:
        if not self._outcomes:
            self._receive()
        return self._unpack(super().result())

    def end(self) -> None:
        self._process.kill()  # it has nothing to put in order
        self._process.join()
        self._items.close()
        self._results.close()
        self._shelf.close()

    def _receive(self) -> None:
        with _telling_death():
            place, told = self._results.recv()
        result, error, news = self._shelf.get(place, told)
        self._free.append(place)
        self._outcomes.append((result, error))
        if news is not None:
            self._learner.learn(news)
            self._tell(news)


def _context() -> Any:
    """Linux forks, as by default before Python 3.14: what is in memory need not be made again, and a program needs no
    `if __name__ == "__main__"`. Elsewhere, or where the program has chosen a way, it is that."""
    forks = sys.platform == "linux" and multiprocessing.get_start_method(allow_none=True) is None
    return multiprocessing.get_context("fork" if forks else None)


@contextmanager
def _telling_death() -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError) as error:
        raise GqvaeError("a worker process died (out of memory?): try fewer workers") from error


def _enlarge(pipe: "Connection[Any, Any]") -> None:
    """For what is too large for a place, and for news."""
    try:
        from fcntl import F_SETPIPE_SZ, fcntl
    except ImportError:  # not on Linux: processes wait for one another more often
        return
    with suppress(OSError):  # a user who has very many pipes already
        fcntl(pipe.fileno(), F_SETPIPE_SZ, _PIPE_BYTES)
