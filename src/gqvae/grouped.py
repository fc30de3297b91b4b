"""Texts in groups, to be encoded at once, here or in other processes."""

from array import array
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from typing import TypeVar

from gqvae.packed import unpack_each
from gqvae.parallel import Elsewhere, Learner, map_in_processes

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
    to_lists: Callable[[list[_Text]], list[list[int]]],
    to_arrays: Callable[[list[_Text]], Iterable["array[int]"]],
    texts: Iterable[_Text],
    workers: int,
    learner: Learner | None = None,
) -> list[list[int]]:
    """`to_lists(list(texts))`, shared out over `workers` processes.

    Others than this one do `to_arrays`, which must be picklable and give the same ids: their bytes travel faster.
    """
    elsewhere = Elsewhere(partial(_packed, to_arrays), unpack_each)
    encoded = map_in_processes(to_lists, groups(texts, _GROUP_CHARACTERS), workers, elsewhere, learner)
    return list(chain.from_iterable(encoded))


def _packed(to_arrays: Callable[[list[_Text]], Iterable["array[int]"]], texts: list[_Text]) -> list[bytes]:
    return [ids.tobytes() for ids in to_arrays(texts)]
