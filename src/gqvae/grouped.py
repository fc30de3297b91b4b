"""Texts in groups, to be encoded at once, here or in other processes."""

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from importlib.util import find_spec
from itertools import accumulate, chain, pairwise
from typing import TYPE_CHECKING, Any, TypeVar

from gqvae.parallel import map_in_processes

if TYPE_CHECKING:
    from numpy.typing import NDArray

_Text = TypeVar("_Text", bound=str | bytes)

_GROUP_CHARACTERS = 1 << 18  # large enough to hide the cost of sending, small enough to share out evenly


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


def encode_in_processes(
    encode: Callable[[list[_Text]], list[list[int]]], texts: Iterable[_Text], workers: int
) -> list[list[int]]:
    """`encode(list(texts))`, shared out over `workers` processes. `encode` must be picklable."""
    encoded = map_in_processes(partial(_encode, encode=encode), groups(texts, _GROUP_CHARACTERS), workers)
    return list(chain.from_iterable(encoded))


class _Lists(list[list[int]]):
    """Lists of ids, which travel between processes as one array: several times faster."""

    def __reduce__(self) -> tuple[Any, ...]:
        ids = array("I")
        for found in self:
            ids += array("I", found)  # faster than to extend
        return _unpacked, (ids, list(map(len, self)))


def _encode(texts: list[_Text], encode: Callable[[list[_Text]], list[list[int]]]) -> _Lists:
    return _Lists(encode(texts))


def _unpacked(ids: "array[int]", counts: Sequence[int]) -> list[list[int]]:
    flat = _shared(ids) if ids and find_spec("numpy") else ids.tolist()
    return [flat[start:end] for start, end in pairwise(accumulate(counts, initial=0))]


def _shared(ids: "array[int]") -> list[int]:
    """The ids as ready-made integers: a new one for each would take twice the time and 32 bytes."""
    import numpy

    numbers = numpy.asarray(ids)
    found: list[int] = _integers(int(numbers.max()).bit_length()).take(numbers).tolist()
    return found


@lru_cache(1)
def _integers(bits: int) -> "NDArray[Any]":
    """The numbers below 2**bits, as Python's."""
    import numpy

    return numpy.arange(1 << bits).astype(object)
