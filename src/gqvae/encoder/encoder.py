"""Text to ids, mostly by look-up: a word at a time, or, where there is much text and Arrow is installed, by columns.

Sentences, which seldom come twice, gain nothing by columns.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from itertools import chain

from gqvae.encoder.columns import Columns
from gqvae.encoder.words import Words
from gqvae.grouped import groups
from gqvae.patterns import begins_at_words, text_blocks

_GROUP = 1 << 20  # characters: the more, the less it takes to look up known parts, until caches are too small
_GROUP_OF_WORDS = 1 << 18
_BLOCK = 1 << 17  # characters of a part of a long text
_MUCH = 1 << 18  # characters that are worth it
_WORTH_ARROW = 1 << 20  # characters for which it pays to load Arrow

_News = tuple[dict[str, bytes] | None, dict[bytes, bytes] | None]  # of words, of columns


class Encoder:
    """The ids (`gqvae.encoder.packed`) of texts, whose surrogates, if any, are the escapes of bytes that are not UTF-8.

    Several threads may use it.

    Args:
        pattern: a name in `gqvae.patterns.PATTERNS`.
        segment: the ids of each of many distinct pretokens.
    """

    def __init__(self, pattern: str, segment: Callable[[list[bytes]], list[bytes]]) -> None:
        self._pattern, self._words = pattern, Words(pattern, segment)
        installed = find_spec("numpy") and find_spec("pyarrow")
        self._columns = Columns(pattern, segment) if installed and begins_at_words(pattern) else None
        self._seen = 0  # characters
        self.group = _GROUP if self._columns else _GROUP_OF_WORDS
        """Characters of texts that processes are best given at once."""

    def packed(self, text: str) -> bytes:
        """The ids of a text."""
        if not self._columns or len(text) < _MUCH:
            return self._words.packed(text)
        self._seen += len(text)
        blocks = groups(text_blocks(text, self._pattern, _BLOCK), _GROUP)
        return b"".join(chain.from_iterable(map(self._of_group, blocks)))

    def packed_groups(self, texts: Iterable[str]) -> Iterator[list[bytes]]:
        """The ids of each text, for some of them at a time."""
        if not self._columns:
            yield from self._words.packed_groups(texts)
            return
        for group in groups(texts, _GROUP):
            *others, last = group
            if len(last) > _GROUP:
                yield [*self._of_group(others), self.packed(last)]
            else:
                self._seen += sum(map(len, group))
                yield self._of_group(group)

    def _of_group(self, texts: list[str]) -> list[bytes]:
        worth_arrow = "pyarrow" in sys.modules or self._seen >= _WORTH_ARROW
        if self._columns and worth_arrow and sum(map(len, texts)) >= _MUCH:
            try:
                return self._columns.packed(list(map(str.encode, texts)))
            except UnicodeEncodeError:  # there are bytes that are not UTF-8
                pass
        return list(chain.from_iterable(self._words.packed_groups(texts)))

    def news(self) -> _News | None:
        """See `gqvae.parallel.Learner`."""
        of_words = self._words.keys.news.taken()
        of_columns = self._columns.news.taken() if self._columns else None
        return (of_words, of_columns) if of_words or of_columns else None

    def learn(self, news: _News) -> None:
        of_words, of_columns = news
        if of_words:
            self._words.keys.learn(of_words)
        if of_columns and self._columns:
            self._columns.learn(of_columns)

    def quiet(self) -> None:
        self._words.keys.news.quiet()
        if self._columns:
            self._columns.news.quiet()
