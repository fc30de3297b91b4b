"""Memory that two processes share, to hand over objects: a pipe takes them from page to page, and holds few."""

import os
from contextlib import suppress
from mmap import mmap
from multiprocessing.reduction import ForkingPickler
from typing import Any

PLACE_BYTES = 1 << 23
"""Size of a place; only the pages that are used take memory."""


class Shelf:
    """Numbered places for one picklable object each. Which of them are free is for the processes to know.

    Where the system gives no nameless file, objects are told whole.

    Args:
        places: how many there are, of `PLACE_BYTES` bytes.
    """

    _memory: mmap | None

    def __init__(self, places: int) -> None:
        self._file, self._memory = -1, None
        with suppress(AttributeError, OSError):  # not on Linux, forbidden, or no more addresses
            self._file = os.memfd_create("gqvae")  # unlike what is in /dev/shm, it has room as long as there is memory
            os.truncate(self._file, places * PLACE_BYTES)
            self._memory = mmap(self._file, 0)

    def __getstate__(self) -> tuple[Any]:
        """For a process that is started, not forked."""
        if not self._memory:
            return (None,)
        from multiprocessing.reduction import DupFd  # not on Windows

        return (DupFd(self._file),)

    def __setstate__(self, state: tuple[Any]) -> None:
        (file,) = state
        self._file = file.detach() if file else -1
        self._memory = mmap(self._file, 0) if file else None

    def put(self, place: int, what: object) -> int | bytes:
        """Returns the handle for the other process: the pickled length, or the pickled bytes if they do not fit."""
        pickled = ForkingPickler.dumps(what)
        if not self._memory or len(pickled) > PLACE_BYTES:
            return bytes(pickled)
        start = place * PLACE_BYTES
        self._memory[start : start + len(pickled)] = pickled
        return len(pickled)

    def get(self, place: int, handle: int | bytes) -> Any:
        """A copy of what the other process put there. handle: what its `put` returned."""
        if isinstance(handle, bytes):
            return ForkingPickler.loads(handle)
        assert self._memory
        start = place * PLACE_BYTES
        with memoryview(self._memory) as memory, memory[start : start + handle] as pickled:
            return ForkingPickler.loads(pickled)

    def close(self) -> None:
        if self._memory:
            self._memory.close()
        if self._file >= 0:
            os.close(self._file)
