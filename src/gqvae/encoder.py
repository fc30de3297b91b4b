"""Text to ids, mostly by look-up: a word at a time, or, where there is much text and Arrow is installed, by columns."""

from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from itertools import chain

from gqvae.columns import Columns
from gqvae.grouped import groups
from gqvae.patterns import begins_at_words, text_blocks
from gqvae.words import Words

_GROUP = 1 << 20  # characters: the more, the less it takes to look up known parts, until caches are too small
_GROUP_OF_WORDS = 1 << 18
_BLOCK = 1 << 17  # characters of a part of a long text
_MUCH = 1 << 18  # less is not worth it

_News = tuple[dict[str, bytes] | None, dict[bytes, bytes] | None]  # of words, of columns


class Encoder:
    """The ids (`gqvae.packed`) of texts, whose surrogates, if any, are the escapes of bytes that are not UTF-8.

    Several threads may use it.

    Args:
        pattern: a name in `gqvae.patterns.PATTERNS`.
        segment: the ids of each of many distinct pretokens.
    """

    def __init__(self, pattern: str, segment: Callable[[list[bytes]], list[bytes]]) -> None:
        self._pattern = pattern
        self._words, self._columns = Words(pattern, segment), Columns(pattern, segment)
        self._by_columns = begins_at_words(pattern) and bool(find_spec("numpy") and find_spec("pyarrow"))
        self.group = _GROUP if self._by_columns else _GROUP_OF_WORDS
        """Characters of texts that are best encoded at once."""

    def packed(self, text: str) -> bytes:
        """The ids of a text."""
        if len(text) < _MUCH or not self._by_columns:
            return self._words.packed(text)
        blocks = groups(text_blocks(text, self._pattern, _BLOCK), self.group)
        return b"".join(chain.from_iterable(map(self._of_group, blocks)))

    def packed_groups(self, texts: Iterable[str]) -> Iterator[list[bytes]]:
        """The ids of each text, for some of them at a time."""
        if not self._by_columns:
            yield from self._words.packed_groups(texts)
            return
        for group in groups(texts, self.group):
            *others, last = group
            if len(last) > self.group:
                yield [*self._of_group(others), self.packed(last)]
            else:
                yield self._of_group(group)

    def _of_group(self, texts: list[str]) -> list[bytes]:
        if self._by_columns and sum(map(len, texts)) >= _MUCH:
            try:
                return self._columns.packed(list(map(str.encode, texts)))
            except UnicodeEncodeError:  # bytes that are not UTF-8
                pass
        return list(chain.from_iterable(self._words.packed_groups(texts)))

    def news(self) -> _News | None:
        """See `gqvae.parallel.Learner`."""
        of_words, of_columns = self._words.keys.news.taken(), self._columns.news.taken()
        return (of_words, of_columns) if of_words or of_columns else None

    def learn(self, news: _News) -> None:
        of_words, of_columns = news
        if of_words:
            self._words.keys.learn(of_words)
        if of_columns:
            self._columns.learn(of_columns)

    def quiet(self) -> None:
        self._words.keys.news.quiet()
        self._columns.news.quiet()
