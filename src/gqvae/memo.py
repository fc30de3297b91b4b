"""A bounded memory of a pure function of short strings."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

MEMO_ENTRIES = 1 << 17  # at about 150 bytes an entry (packed ids): some 20 MB for each memo
MEMO_KEY = 64  # longer strings seldom come twice
_STRETCH = 256  # values looked at together for what is missing
MOST_NEWS = 1 << 14  # a quarter of a million characters has 40,000 words, few of them new

Value = TypeVar("Value", bound=Sequence[Any])


class Memo(dict[str, Value]):
    """A bounded memo of `compute`, which takes distinct strings, many at once, and gives a value for each.

    Emptied when full, which costs little as common keys return at once. Several threads may use it.
    """

    def __init__(self, compute: Callable[[list[str]], Iterable[Value]]) -> None:
        self._compute = compute
        self._news: dict[str, Value] | None = None  # of interest between `news` and `quiet`
        self._full = False

    def news(self) -> dict[str, Value] | None:
        """What was computed and kept since this was last asked for; None if it is nothing or too much, or it was full
        once: of text that does not repeat itself, little would help others."""
        news = self._news
        if not self._full:
            self._news = {}
        return news if news and len(news) <= MOST_NEWS else None

    def quiet(self) -> None:
        """No more news is asked for."""
        self._news, self._full = None, False

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
        if max(map(len, new), default=0) > MEMO_KEY or len(new) > MEMO_ENTRIES:
            short = ((key, value) for key, value in new.items() if len(key) <= MEMO_KEY)
            new = dict(islice(short, MEMO_ENTRIES))
        self._make_room(len(new))
        self.update(new)
        if (news := self._news) is not None:
            news.update(new)

    def _make_room(self, count: int) -> None:
        if len(self) + count > MEMO_ENTRIES:
            self.clear()
            self._news, self._full = None, True  # so much is new that telling it would not pay


def _missing(found: Sequence[Any]) -> Iterator[int]:
    """Where there is None; what is known to the last, as most of it is, is passed over as fast as `all` goes."""
    for start in range(0, len(found), _STRETCH):
        stretch = found[start : start + _STRETCH]
        if not all(stretch):
            yield from [index for index, value in enumerate(stretch, start) if value is None]
