"""A bounded memory of a pure function of short strings."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Generic, TypeVar

MEMO_ENTRIES = 1 << 17  # at about 150 bytes an entry (packed ids): some 20 MB for each memo; 30 in columns
MEMO_KEY = 64  # longer strings seldom come twice
_STRETCH = 256  # values looked at together for what is missing
MOST_NEWS = 1 << 16  # more would hardly come again

Key = TypeVar("Key", str, bytes)
Value = TypeVar("Value", bound=Sequence[Any])


class News(Generic[Key, Value]):
    """What one process finds out, for others: kept from the first call of `taken` to that of `quiet`."""

    def __init__(self) -> None:
        self._found: dict[Key, Value] | None = None
        self._ended = False

    def add(self, found: dict[Key, Value]) -> None:
        if (news := self._found) is not None:
            news.update(found)

    def taken(self) -> dict[Key, Value] | None:
        """What was added since this was last asked for; None if it is nothing or too much, or after `end`."""
        news = self._found
        if not self._ended:
            self._found = {}
        return news if news and len(news) <= MOST_NEWS else None

    def end(self) -> None:
        """So much is new that telling it would not pay."""
        self._found, self._ended = None, True

    def quiet(self) -> None:
        """No more is asked for."""
        self._found, self._ended = None, False


class Memo(dict[str, Value]):
    """A bounded memo of `compute`, which takes distinct strings, many at once, and gives a value for each.

    Emptied when full, which costs little as common keys return at once. Several threads may use it.

    Args:
        longest: characters of a key that is remembered, at most. Default: MEMO_KEY.
    """

    def __init__(self, compute: Callable[[list[str]], Iterable[Value]], longest: int | None = None) -> None:
        self._compute, self._longest = compute, longest or MEMO_KEY
        self.news: News[str, Value] = News()
        """What it computes and keeps."""

    def learn(self, news: dict[str, Value]) -> None:
        """Keep what another has computed."""
        new = {key: value for key, value in news.items() if key not in self}
        self._make_room(len(new))
        self.update(new)

    def values_of(self, keys: list[str]) -> list[Value]:
        """The value of each key."""
        found = list(map(self.get, keys))
        known: list[Value] = found  # type: ignore[assignment]  # once the missing ones are filled in
        if all(found):  # as for known text; an empty value is looked for below, and found
            return known
        missing = list(_missing(found))
        unknown = list(map(keys.__getitem__, missing))
        distinct = list(dict.fromkeys(unknown))
        new = dict(zip(distinct, self._compute(distinct), strict=True))
        for index, value in zip(missing, map(new.__getitem__, unknown), strict=True):
            known[index] = value
        self._keep(new)
        return known

    def _keep(self, new: dict[str, Value]) -> None:
        if max(map(len, new), default=0) > self._longest or len(new) > MEMO_ENTRIES:
            short = ((key, value) for key, value in new.items() if len(key) <= self._longest)
            new = dict(islice(short, MEMO_ENTRIES))
        self._make_room(len(new))
        self.update(new)
        self.news.add(new)

    def _make_room(self, count: int) -> None:
        if len(self) + count > MEMO_ENTRIES:
            self.clear()
            self.news.end()


def _missing(found: Sequence[Any]) -> Iterator[int]:
    """Indices of None. Stretches without one, as most are, are skipped at the speed of `all`."""
    for start in range(0, len(found), _STRETCH):
        stretch = found[start : start + _STRETCH]
        if not all(stretch):
            yield from [index for index, value in enumerate(stretch, start) if value is None]
