"""A bounded memory of a pure function of short strings."""

from collections.abc import Callable, Iterable
from itertools import chain, islice

MEMO_ENTRIES = 1 << 17  # at about 200 bytes an entry: some 25 MB for each memo
MEMO_KEY = 64  # longer strings seldom come twice

Ids = tuple[int, ...]


class Memo(dict[str, Ids]):
    """A bounded memo of `compute`, which takes distinct strings, many at once, and gives a value for each.

    Emptied when full, which costs little as common keys return at once. Several threads may use it.
    """

    def __init__(self, compute: Callable[[list[str]], Iterable[Ids]]) -> None:
        self._compute = compute

    def joined(self, keys: list[str]) -> list[int]:
        """The values of all keys, end to end."""
        try:
            return list(chain.from_iterable(map(self.__getitem__, keys)))
        except KeyError:  # at least one is new
            return list(chain.from_iterable(self.values_of(keys)))

    def values_of(self, keys: list[str]) -> list[Ids]:
        """The value of each key."""
        known = list(map(self.get, keys))
        missing = [index for index, value in enumerate(known) if value is None]
        unknown = list(map(keys.__getitem__, missing))
        new = list(dict.fromkeys(unknown))
        found = dict(zip(new, self._compute(new), strict=True))
        values: list[Ids] = known  # type: ignore[assignment]  # once the missing ones are filled in
        for index, value in zip(missing, map(found.__getitem__, unknown), strict=True):
            values[index] = value
        self._keep(found)
        return values

    def _keep(self, found: dict[str, Ids]) -> None:
        if max(map(len, found), default=0) > MEMO_KEY or len(found) > MEMO_ENTRIES:
            short = ((key, value) for key, value in found.items() if len(key) <= MEMO_KEY)
            found = dict(islice(short, MEMO_ENTRIES))
        if len(self) + len(found) > MEMO_ENTRIES:
            self.clear()
        self.update(found)
