"""Ids as bytes: each as `array("I")` holds it.

So they are remembered: in less memory than as tuples of integers, and with nothing for the garbage collector to visit.
"""

from array import array
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.util import find_spec
from itertools import accumulate, chain, pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDTH = array("I").itemsize
"""Bytes of an id."""
_MANY = 1 << 12  # ids that are worth a call of numpy


def pack(ids: Iterable[int]) -> bytes:
    """The ids as bytes."""
    return array("I", ids).tobytes()


def unpack(packed: bytes) -> list[int]:
    """The ids that `pack` was given."""
    return unpack_each([packed])[0]


def unpack_each(packed: Sequence[bytes]) -> list[list[int]]:
    """`unpack` of each."""
    joined = b"".join(packed)
    if len(joined) < _MANY * WIDTH or not find_spec("numpy"):
        return [array("I", ids).tolist() for ids in packed]
    ids = _shared(joined)
    ends = accumulate((len(each) // WIDTH for each in packed), initial=0)
    return [ids[start:end].tolist() for start, end in pairwise(ends)]


def slices(packed: bytes, ends: Iterable[int]) -> list[bytes]:
    """Cut at `ends`, the bytes where each part ends."""
    return [packed[start:end] for start, end in pairwise(chain((0,), ends))]


def _shared(packed: bytes) -> "NDArray[Any]":
    """The ids as ready-made integers: a new one for each would take twice the time and 32 bytes."""
    import numpy

    ids = numpy.frombuffer(packed, numpy.uintc)
    return _integers(int(ids.max()).bit_length()).take(ids)


@cache
def _integers(bits: int) -> "NDArray[Any]":
    """The numbers below 2**bits, as Python's. All that are kept take less than twice the largest."""
    import numpy

    return numpy.arange(1 << bits).astype(object)
