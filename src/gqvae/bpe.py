"""Byte-pair encoding by ranks, as tiktoken does it: the model that the fast runtimes share.

A pretoken that is a token is that token. In any other, of all neighbours that together are a token, those of the lowest
rank (the token's id; the leftmost of equals) become that token, until no neighbours do.

>>> ranks = {b"ab": 0, b"cd": 1, b"abc": 2}
>>> merges(b"abcd", ranks)
([(b'a', b'b'), (b'c', b'd')], [b'ab', b'cd'])

**One pair makes a token, whatever stands around it.** As long as nothing has merged across the two ends of a stretch
of text, what merges inside it is what would merge if it stood alone, and in the same order. So if the neighbours a, b
ever become the token ab, then ab alone, which merges in one way only, goes through the state a, b too. This pair is
`pair_of`. Hence a list of merges with one pair a token (`tokenizers`, with `ignore_merges` for the first rule) gives
the ids that ranks alone (tiktoken) give, for any strings in any order; and a string that has no pair is a token only
where it is a whole pretoken.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from heapq import heapify, heappop, heappush
from itertools import chain
from typing import Literal

from gqvae.memo import Memo
from gqvae.patterns import compiled_pattern, split, split_text
from gqvae.validation import decoded_text
from gqvae.vocabulary import Vocabulary, special_pattern

Pair = tuple[bytes, bytes]
Ranks = Mapping[bytes, int]


def merges(piece: bytes, ranks: Ranks) -> tuple[list[Pair], list[bytes]]:
    """The pairs that merge in `piece`, in order, and the tokens that are left. Takes n log n for n bytes."""
    size = len(piece)
    tokens = [piece[start : start + 1] for start in range(size)]  # b"" where merged into the one before
    before, after = list(range(-1, size - 1)), list(range(1, size + 1))
    waiting = [(rank, left) for left in range(size - 1) if (rank := ranks.get(piece[left : left + 2])) is not None]
    heapify(waiting)
    merged = []
    while waiting:
        rank, left = heappop(waiting)
        first, right = tokens[left], after[left]
        if not first or right == size or ranks.get(first + tokens[right]) != rank:
            continue  # one of the two has merged since
        merged.append((first, tokens[right]))
        token = tokens[left] = first + tokens[right]
        tokens[right] = b""
        following = after[left] = after[right]
        if following < size:
            before[following] = left
            if (rank_after := ranks.get(token + tokens[following])) is not None:
                heappush(waiting, (rank_after, left))
        if (previous := before[left]) >= 0 and (rank_before := ranks.get(tokens[previous] + token)) is not None:
            heappush(waiting, (rank_before, previous))
    return merged, [token for token in tokens if token]


def pair_of(token: bytes, ranks: Ranks) -> Pair | None:
    """The two tokens that merge into `token`, one of `ranks`; None if merges never make it."""
    merged, left = merges(token, ranks)
    return merged[-1] if len(left) == 1 and merged else None


class BPETokenizer:
    """A byte-level BPE whose ranks are the order of a vocabulary, in plain Python: what fast runtimes have to match.

    Args:
        vocabulary: its learned strings are in order of rank.
        pattern: a name in `gqvae.patterns.PATTERNS`.
        name: what reports call this tokenizer.
    """

    def __init__(self, vocabulary: Vocabulary, pattern: str, name: str) -> None:
        compiled_pattern(pattern)  # raises for one that there is not
        self.vocabulary, self.pattern, self.name = vocabulary, pattern, name
        self._ranks = vocabulary.id_of
        self._pretoken_ids = Memo(partial(map, self._segment))

    @property
    def vocab_size(self) -> int:
        """The number of ids: 256 bytes, learned strings and specials."""
        return len(self.vocabulary)

    @property
    def special_ids(self) -> dict[str, int]:
        return dict(self.vocabulary.special_ids)

    @cached_property
    def pairs(self) -> dict[bytes, Pair]:
        """The pair that makes each learned string which merges make, in order of rank."""
        found = ((token, pair_of(token, self._ranks)) for token in self.vocabulary.learned)
        return {token: pair for token, pair in found if pair}

    @property
    def whole_only(self) -> list[bytes]:
        """Tokens that merges do not make: they stand for whole pretokens only."""
        return [token for token in self.vocabulary.learned if token not in self.pairs]

    @property
    def unreachable(self) -> list[bytes]:
        """Tokens that no text gives."""
        return [token for token in self.whole_only if split(token, self.pattern) != [token]]

    def encode(self, text: str | bytes, *, allowed_special: Literal["all"] | tuple[()] = ()) -> list[int]:
        """The ids of `text`; the names of special tokens in it are ordinary text, unless all are allowed.

        Raises GqvaeError for a str with a lone surrogate.
        """
        decoded = decoded_text(text, refused=frozenset())
        if not allowed_special or not self.vocabulary.specials:
            return self._ordinary(decoded)
        parts = special_pattern(frozenset(self.vocabulary.specials)).split(decoded)
        ids = [[self.special_ids[part]] if index % 2 else self._ordinary(part) for index, part in enumerate(parts)]
        return list(chain.from_iterable(ids))

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes that `ids` stand for; a special token gives its name. Raises GqvaeError for what is no id."""
        return self.vocabulary.decode(ids)

    def split(self, text: str | bytes) -> list[bytes]:
        """The byte strings of the tokens of `text`."""
        return [self.vocabulary.tokens[id_] for id_ in self.encode(text)]

    def _ordinary(self, text: str) -> list[int]:
        return list(chain.from_iterable(self._pretoken_ids.values_of(split_text(text, self.pattern))))

    def _segment(self, pretoken: str) -> tuple[int, ...]:
        return tuple(self._ranks[token] for token in segment(pretoken.encode("utf-8", "surrogateescape"), self._ranks))


def segment(pretoken: bytes, ranks: Ranks) -> Sequence[bytes]:
    """The tokens of one pretoken: itself if it is one, or what merges make of it."""
    return (pretoken,) if pretoken in ranks or len(pretoken) == 1 else merges(pretoken, ranks)[1]
