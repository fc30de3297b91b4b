"""Memory that two processes share, to hand over objects: a pipe takes them from page to page, and holds few."""

from ctypes import c_char
from multiprocessing.reduction import ForkingPickler
from multiprocessing.sharedctypes import RawArray
from typing import Any

PLACE_BYTES = 1 << 22


class Shelf:
    """Numbered places for one picklable object each. Which of them are free is for the processes to know.

    Args:
        places: how many there are, of `PLACE_BYTES` bytes.
    """

    def __init__(self, places: int) -> None:
        self._memory = RawArray(c_char, places * PLACE_BYTES)

    def put(self, place: int, what: object) -> int | bytes:
        """Gives what the other process is to be told: how long it is, or, where it is too long, all of it."""
        pickled = ForkingPickler.dumps(what)
        if len(pickled) > PLACE_BYTES:
            return bytes(pickled)
        self._place(place)[: len(pickled)] = pickled
        return len(pickled)

    def get(self, place: int, told: int | bytes) -> Any:
        """A copy of what the other process has put there."""
        return ForkingPickler.loads(told if isinstance(told, bytes) else self._place(place)[:told])

    def _place(self, place: int) -> memoryview:
        return memoryview(self._memory).cast("B")[place * PLACE_BYTES :][:PLACE_BYTES]
