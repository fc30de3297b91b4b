"""Texts in groups, to be encoded at once, here or in other processes."""

from array import array
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from importlib.util import find_spec
from itertools import accumulate, chain, pairwise
from typing import TYPE_CHECKING, Any, TypeVar

from gqvae.parallel import Elsewhere, Learner, map_in_processes

if TYPE_CHECKING:
    from numpy.typing import NDArray

_Text = TypeVar("_Text", bound=str | bytes)
_Packed = tuple["array[int]", list[int]]

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
    to_lists: Callable[[list[_Text]], list[list[int]]],
    to_arrays: Callable[[list[_Text]], Iterable["array[int]"]],
    texts: Iterable[_Text],
    workers: int,
    learner: Learner | None = None,
) -> list[list[int]]:
    """`to_lists(list(texts))`, shared out over `workers` processes.

    Others than this one do `to_arrays`, which must be picklable and give the same ids: arrays travel faster.
    """
    elsewhere = Elsewhere(partial(_packed, to_arrays), _unpacked)
    encoded = map_in_processes(to_lists, groups(texts, _GROUP_CHARACTERS), workers, elsewhere, learner)
    return list(chain.from_iterable(encoded))


def _packed(to_arrays: Callable[[list[_Text]], Iterable["array[int]"]], texts: list[_Text]) -> _Packed:
    """The ids of all texts end to end, and how many each has."""
    ids, counts = array("I"), []
    for found in to_arrays(texts):
        ids += found
        counts.append(len(found))
    return ids, counts


def _unpacked(packed: _Packed) -> list[list[int]]:
    ids, counts = packed
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
