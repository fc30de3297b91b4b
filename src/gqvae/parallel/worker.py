"""What a child of `gqvae.parallel` does: items, one after the other, until it is ended."""

import gc
import os
import signal
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any, Protocol

from gqvae.parallel.shelf import Shelf

Outcome = tuple[Any, Exception | None]


class Learner(Protocol):
    """The cache of a function, which processes share by telling each other what is new in it."""

    def news(self) -> Any:
        """Entries added since the last call, None if there are none. The first call starts the recording."""

    def learn(self, news: Any, /) -> None:
        """Add what another process's `news` returned."""

    def quiet(self) -> None:
        """Stop recording, and drop what was recorded."""


def outcome(function: Callable[..., Any], *arguments: Any) -> Outcome:
    try:
        return function(*arguments), None
    except Exception as error:
        return None, error


def serve(
    function: Callable[[Any], Any],
    learner: Learner,
    shelf: Shelf,
    items: "Connection[Any, Any]",
    results: "Connection[Any, Any]",
    others: tuple["Connection[Any, Any]", ...],
) -> None:
    """What a child does until it is ended. `others`: the parent's ends of the pipes."""
    for end in others:
        end.close()  # else a pipe would stay open without a parent
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interruption is the parent's to handle
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    gc.freeze()  # else the collector would write to all that was forked, and so copy it
    waiting: dict[str, SimpleQueue[Any]] = {"item": SimpleQueue(), "news": SimpleQueue()}
    done: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_take, args=(items, waiting), daemon=True).start()
    threading.Thread(target=_give, args=(results, shelf, done), daemon=True).start()

    def work(place: int, told: int | bytes) -> Any:
        return function(shelf.get(place, told))

    learner.news()  # from now on
    while True:
        place, told = waiting["item"].get()
        while not waiting["news"].empty():
            learner.learn(waiting["news"].get())
        result, error = outcome(work, place, told)
        if error:
            error.add_note("".join(("In a worker process: ", *traceback.format_exception(error))))
        done.put((place, (result, error, learner.news())))


def _take(items: "Connection[Any, Any]", waiting: "dict[str, SimpleQueue[Any]]") -> None:
    """Take items and news as they come, and end with the parent, even one that was killed."""
    try:
        while True:
            kind, what = items.recv()
            waiting[kind].put(what)
    finally:
        os._exit(1)


def _give(results: "Connection[Any, Any]", shelf: Shelf, done: "SimpleQueue[Any]") -> None:
    """Send outcomes while the next item is worked on. End where nobody waits for them, or one cannot be told."""
    try:
        while True:
            place, found = done.get()
            try:
                told = shelf.put(place, found)
            except Exception as untold:  # cannot be pickled
                told = shelf.put(place, (None, untold, None))
            results.send((place, told))
    finally:
        os._exit(1)
