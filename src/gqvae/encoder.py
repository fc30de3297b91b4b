"""Text to ids, mostly by look-up.

Text is cut into pretokens by a pattern, and the ids of a pretoken are a pure function of it. So are those of a word
with the space before it, where a pretoken surely begins. Text repeats itself, so both are memoised: most of the time,
encoding is one look-up a word. What is new in a block of text is found first and computed at once: the pattern runs
over all new words together.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, chain, compress, islice, pairwise

from gqvae.grouped import groups
from gqvae.memo import Ids, Memo, Value
from gqvae.patterns import WORD_START, begins_at_words, split_text, text_blocks

_BLOCK = 1 << 17  # characters cut into words at once: many enough to compute new ones together, few enough for caches


class Encoder:
    """The ids of texts, whose surrogates, if any, are the escapes of bytes that are not UTF-8.

    Args:
        pattern: a name in `gqvae.patterns.PATTERNS`.
        segment: the ids of each of many distinct pretokens.
    """

    def __init__(self, pattern: str, segment: Callable[[list[str]], list[Ids]]) -> None:
        self._pattern, self._at_words = pattern, begins_at_words(pattern)
        self._pretokens: Memo[Ids] = Memo(segment)
        self._words: Memo[Ids] = Memo(self._of_words)
        self.keys = self._words if self._at_words else self._pretokens
        """What texts are cut into, and its ids."""
        self._packed_keys: Memo[bytes] = Memo(self._packed)

    def ids(self, text: str) -> list[int]:
        """The ids of a text."""
        if len(text) <= _BLOCK:
            return self._of_block(text)
        return list(chain.from_iterable(map(self._of_block, text_blocks(text, self._pattern, _BLOCK))))

    def ids_of_each(self, texts: Iterable[str]) -> Iterator[list[int]]:
        """The ids of each text."""
        for group in groups(texts, _BLOCK):
            if len(group) == 1:
                yield self.ids(group[0])
                continue
            for ids, values in self._looked_up(group, self.keys):
                ids.extend(chain.from_iterable(values))
                yield ids

    def packed_of_each(self, texts: Iterable[str]) -> Iterator["array[int]"]:
        """The ids of each text, as an array: faster, as no integers are made of them."""
        for group in groups(texts, _BLOCK):
            if len(group) > 1:
                yield from self._packed_group(group)
                continue
            whole = array("I")
            for block in text_blocks(group[0], self._pattern, _BLOCK):
                whole += next(self._packed_group([block]))
            yield whole

    def _of_block(self, text: str) -> list[int]:
        ids, keys = self._cut(text)
        ids += self.keys.joined(keys)
        return ids

    def _packed_group(self, texts: list[str]) -> Iterator["array[int]"]:
        for ids, values in self._looked_up(texts, self._packed_keys):
            packed = array("I", ids)
            packed.frombytes(b"".join(values))
            yield packed

    def _looked_up(self, texts: list[str], memo: Memo[Value]) -> Iterator[tuple[list[int], Iterator[Value]]]:
        """The ids of what stands before the first key of each text, and the values of its keys."""
        cut = list(map(self._cut, texts))
        values = iter(memo.values_of([key for _, keys in cut for key in keys]))
        for ids, keys in cut:
            yield ids, islice(values, len(keys))

    def _cut(self, text: str) -> tuple[list[int], list[str]]:
        """The ids of what stands before the first word, and the words; or none, and the pretokens."""
        if not self._at_words:
            return [], split_text(text, self._pattern)
        first, *words = WORD_START.split(text)
        return self._pretokens.joined(split_text(first, self._pattern)), words

    def _of_words(self, words: list[str]) -> list[Ids]:
        """The ids of each word, with a space before it. A pretoken begins there, so all are split at once."""
        pieces = split_text(" ".join(["", *words]), self._pattern)
        values = self._pretokens.values_of(pieces)
        ids = tuple(chain.from_iterable(values))
        word_ends = set(accumulate(map((1).__add__, map(len, words))))
        ends_word = map(word_ends.__contains__, accumulate(map(len, pieces)))
        ends = compress(accumulate(map(len, values)), ends_word)
        return [ids[start:end] for start, end in pairwise(chain([0], ends))]

    def _packed(self, keys: list[str]) -> list[bytes]:
        values = self.keys.values_of(keys)
        packed = array("I", chain.from_iterable(values)).tobytes()
        ends = accumulate((len(ids) * array("I").itemsize for ids in values), initial=0)
        return [packed[start:end] for start, end in pairwise(ends)]
