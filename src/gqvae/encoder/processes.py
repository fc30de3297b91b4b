"""Many texts encoded in several processes."""

from collections.abc import Callable, Iterable
from itertools import chain
from typing import TypeVar

from gqvae.encoder.packed import unpack_each
from gqvae.grouped import groups
from gqvae.parallel import Elsewhere, Learner, map_in_processes

_Text = TypeVar("_Text", bound=str | bytes)


def encode_in_processes(
    to_packed: Callable[[list[_Text]], list[bytes]],
    texts: Iterable[_Text],
    workers: int,
    size: int,
    learner: Learner | None = None,
) -> list[list[int]]:
    """The ids of all texts, shared out over `workers` processes.

    Args:
        to_packed: gives them packed; must be picklable.
        size: characters of the texts that are given to a process at once.
    """

    def here(group: list[_Text]) -> list[list[int]]:
        return unpack_each(to_packed(group))

    elsewhere = Elsewhere(to_packed, unpack_each)  # what is packed travels fast
    encoded = map_in_processes(here, groups(texts, size), workers, elsewhere, learner)
    return list(chain.from_iterable(encoded))
