"""Text to ids, one look-up a word.

Text is cut into pretokens by a pattern, and the ids of a pretoken are a pure function of it. So are those of a word
with the space before it, where a pretoken surely begins. Text repeats itself, so both are memoised. What is new in a
block of text is found first and computed at once: the pattern runs over all new words together.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, compress, islice

from gqvae.encoder.packed import slices
from gqvae.grouped import groups
from gqvae.memo import Memo
from gqvae.patterns import WORD_START, begins_at_words, split_text, text_blocks

# Characters cut into keys at once: many enough to compute new ones together, few enough for a processor's caches.
_BLOCK = 1 << 17
_BLOCK_ACROSS_WORDS = 1 << 19  # sentences are fewer


class Words:
    """The ids (`gqvae.encoder.packed`) of texts, whose surrogates, if any, are the escapes of bytes that are not UTF-8.

    Args:
        pattern: a name in `gqvae.patterns.PATTERNS`.
        segment: the ids of each of many distinct pretokens.
    """

    def __init__(self, pattern: str, segment: Callable[[list[bytes]], list[bytes]]) -> None:
        self._pattern, self._at_words = pattern, begins_at_words(pattern)
        self._block = _BLOCK if self._at_words else _BLOCK_ACROSS_WORDS
        self._segment = segment
        self._pretokens: Memo[bytes] = Memo(self._of_pretokens)
        self._words: Memo[bytes] = Memo(self._of_words)
        self.keys = self._words if self._at_words else self._pretokens
        """What texts are cut into, and its ids."""

    def packed(self, text: str) -> bytes:
        """The ids of a text."""
        if len(text) <= self._block:
            return self._of_block(text)
        return b"".join(map(self._of_block, text_blocks(text, self._pattern, self._block)))

    def packed_groups(self, texts: Iterable[str]) -> Iterator[list[bytes]]:
        """The ids of each text, for some of them at a time."""
        for group in groups(texts, self._block):
            yield self._of_each(group) if len(group) > 1 else [self.packed(group[0])]

    def _of_block(self, text: str) -> bytes:
        first, keys = self._cut(text)
        return first + b"".join(self.keys.values_of(keys))

    def _of_each(self, texts: list[str]) -> list[bytes]:
        cut = list(map(self._cut, texts))
        values = iter(self.keys.values_of([key for _, keys in cut for key in keys]))
        return [b"".join([first, *islice(values, len(keys))]) for first, keys in cut]

    def _cut(self, text: str) -> tuple[bytes, list[str]]:
        """The ids of what stands before the first word, and the words; or none, and the pretokens."""
        if not self._at_words:
            return b"", split_text(text, self._pattern)
        first, *words = WORD_START.split(text)
        return b"".join(self._pretokens.values_of(split_text(first, self._pattern))), words

    def _of_pretokens(self, pretokens: list[str]) -> list[bytes]:
        return self._segment([pretoken.encode("utf-8", "surrogateescape") for pretoken in pretokens])

    def _of_words(self, words: list[str]) -> list[bytes]:
        """The ids of each word, with a space before it. A pretoken begins there, so all are split at once."""
        pieces = split_text(" ".join(["", *words]), self._pattern)
        values = self._pretokens.values_of(pieces)
        word_ends = set(accumulate(map((1).__add__, map(len, words))))
        ends_word = map(word_ends.__contains__, accumulate(map(len, pieces)))
        return slices(b"".join(values), compress(accumulate(map(len, values)), ends_word))
