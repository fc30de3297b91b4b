"""Much text to ids with Arrow, a column at a time: without a Python object a word.

Text is cut where a few neighbouring characters tell that a pretoken begins (`gqvae.boundaries`). Arrow numbers the
parts by the distinct ones, those of earlier texts first, takes the ids of each and puts them end to end. Only parts
that are new take Python; of these the pattern, which is slow, splits the few that may hold more than one pretoken.
"""

from collections.abc import Callable, Iterable
from itertools import accumulate, chain, compress
from typing import TYPE_CHECKING, Any, NamedTuple

from gqvae import machine
from gqvae.arrow import column, filtered, numbers, strings
from gqvae.boundaries import Boundaries, boundaries
from gqvae.encoder.packed import slices
from gqvae.memo import MEMO_ENTRIES, MEMO_KEY, News
from gqvae.patterns import split_each

if TYPE_CHECKING:
    import pyarrow
    from numpy.typing import NDArray

    Numbers = NDArray[Any]


class _Known(NamedTuple):
    """Distinct parts of text, (n,), and the ids of each, (n,)."""

    parts: "pyarrow.LargeBinaryArray"
    ids: "pyarrow.LargeBinaryArray"

    def numbered(self, parts: "pyarrow.LargeBinaryArray") -> "pyarrow.DictionaryArray":
        """The parts, dictionary-encoded: the known ones have the first numbers, new ones follow."""
        import pyarrow

        return pyarrow.chunked_array([self.parts, parts]).dictionary_encode().chunks[-1]

    def and_more(self, parts: "pyarrow.LargeBinaryArray", ids: Iterable[bytes]) -> "_Known":
        """Extended by the dictionary that `numbered` returned; `ids` are those of its new entries."""
        import pyarrow

        return _Known(parts, pyarrow.concat_arrays([self.ids, column(list(ids))]))


class Columns:
    """The ids (`gqvae.encoder.packed`) of texts in UTF-8. Several threads may use it.

    Args:
        pattern: a name in `gqvae.patterns.PATTERNS`, any but "none".
        segment: the ids of each of many distinct pretokens.
    """

    def __init__(self, pattern: str, segment: Callable[[list[bytes]], list[bytes]]) -> None:
        self._pattern, self._segment = pattern, segment
        self._known: _Known | None = None  # not changed but replaced, as another thread may be reading it
        self.news: News[bytes, bytes] = News()
        """What it finds."""

    @property
    def _boundaries(self) -> Boundaries:
        known = boundaries(self._pattern)
        assert known, "not of the pattern none"
        return known

    def packed(self, texts: list[bytes]) -> list[bytes]:
        """The ids of each text, of which one at least is not empty."""
        import numpy

        data, ends = b"".join(texts), list(accumulate(map(len, texts)))
        firsts = numpy.unique([0, *ends])[:-1]  # of texts that are not empty
        starts, open_ = self._boundaries.parts(data, firsts)
        known = self._known or _nothing()
        coded = known.numbered(strings(data, starts))
        new = coded.dictionary[len(known.parts) :].to_pylist()
        if new:
            used = numbers(coded.indices)
            uncertain = set((used[open_] - len(known.parts)).tolist())
            found = dict(zip(new, self._ids_of(new, uncertain), strict=True))
            known = known.and_more(coded.dictionary, found.values())
            self._remember(known, found, used)
        _, offsets, ids = known.ids.take(coded.indices).buffers()
        ends_of_ids = numpy.frombuffer(offsets, numpy.int64)[starts.searchsorted(ends)]
        return slices(ids.to_pybytes(), ends_of_ids.tolist())

    def learn(self, news: dict[bytes, bytes]) -> None:
        """Remember what another has found."""
        known = self._known or _nothing()
        if len(known.parts) + len(news) > MEMO_ENTRIES:
            self.news.end()
            return
        coded = known.numbered(column(list(news)))
        fresh = numbers(coded.indices) >= len(known.parts)
        self._known = known.and_more(coded.dictionary, compress(news.values(), fresh.tolist()))

    def _ids_of(self, parts: list[bytes], uncertain: Iterable[int]) -> list[bytes]:
        """The ids of distinct parts. uncertain: which of them may hold more than one pretoken;
        negative numbers are of parts known before, and nothing to do."""
        pieces = [[part] for part in parts]
        asked = [number for number in uncertain if number >= 0]
        split = split_each([parts[number].decode() for number in asked], self._pattern)
        for number, pretokens in zip(asked, split, strict=True):
            pieces[number] = list(map(str.encode, pretokens))
        distinct = list(dict.fromkeys(chain.from_iterable(pieces)))
        ids = dict(zip(distinct, self._segment(distinct), strict=True))
        return [b"".join(map(ids.__getitem__, each)) for each in pieces]

    def _remember(self, known: _Known, found: dict[bytes, bytes], used: "Numbers") -> None:
        """Replace the cache by `known`, whose last entries were just `found`, without long ones, which seldom repeat.

        used: the entries that this text has. If there are too many, only these are kept.
        """
        import numpy

        kept = numpy.ones(len(known.parts), bool)
        kept[-len(found) :] = [len(part) <= MEMO_KEY for part in found]
        if len(kept) > MEMO_ENTRIES:
            kept &= numpy.bincount(used, minlength=len(kept)) > 0
            kept[kept.cumsum() > MEMO_ENTRIES] = False
            self.news.end()
        if not kept.all():
            known = _Known(filtered(known.parts, kept), filtered(known.ids, kept))
        self._known = known
        self.news.add({part: ids for part, ids in found.items() if len(part) <= MEMO_KEY})


def _nothing() -> _Known:
    machine.spare_addresses()  # Arrow may not be in use yet
    return _Known(column([]), column([]))
