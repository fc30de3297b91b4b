"""A bounded memory of a pure function of short strings."""

from collections.abc import Callable, Iterable, Mapping
from itertools import chain

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
        new = list(dict.fromkeys(map(keys.__getitem__, missing)))
        found = dict(zip(new, self._compute(new), strict=True))
        values: list[Ids] = known  # type: ignore[assignment]  # once the missing ones are filled in
        for index in missing:
            values[index] = found[keys[index]]
        self._keep(found)
        return values

    def _keep(self, found: Mapping[str, Ids]) -> None:
        short = [(key, value) for key, value in found.items() if len(key) <= MEMO_KEY]
        if len(self) + len(short) > MEMO_ENTRIES:
            self.clear()
        self.update(short[:MEMO_ENTRIES])
