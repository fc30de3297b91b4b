"""A vocabulary for byte-pair encoding, as near to a learned one as merges can spell.

BPE cannot follow an arbitrary segmentation, and few of the strings that a network learns are made of two others. What
it can do: emit a pretoken that is a token as it is (`gqvae.bpe`). So whole words need no merges, and merges are for the
rest. The choice is by pruning, like Unigram's (Kudo 2018, arXiv 1804.10959):

1. Candidates: the learned strings; twice as many strings as wanted that BPE finds in the text; and as many as wanted
   that it finds in those pretokens that are no learned string, since these are what merges have to spell.
2. Their order, which decides the merges, is that in which BPE restricted to the candidates makes them.
3. While there are too many, the loss of each is counted: the tokens more that the text would have without it. Those
   of the least loss go, a few at a time. Learned strings are preferred: their loss counts more (`PREFERENCE`).
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from heapq import heapify, heappop, heappush
from itertools import pairwise
from typing import NamedTuple

from gqvae.bpe import Pair, merges, pair_of
from gqvae.errors import GqvaeError
from gqvae.vocabulary import MAX_TOKEN_BYTES

Counts = Mapping[bytes, int]
"""Pretokens and how often they occur."""


class Spelling(NamedTuple):
    """What merges make of a piece: the tokens made on the way, in order, and those left."""

    made: list[bytes]
    left: list[bytes]


Known = dict[tuple[bytes, bytes | None], Spelling]
"""Spellings by piece, and by the token that merges had to do without."""

OVERSHOOT = 2
"""Strings of BPE among the candidates, for each id wanted."""
PREFERENCE = 1.25
"""What the loss of a learned string counts: 1 keeps fewer of them, 2 costs up to 0.5% of the compression."""
SMALLEST_ROUND, LARGEST_ROUND = 1 / 50, 1 / 4
"""Strings pruned between two counts of the losses: at least this share of those wanted, at most of those too many."""


def choose(counts: Counts, learned: Collection[bytes], size: int, avoid: Collection[bytes] = ()) -> list[bytes]:
    """Exactly `size` strings of at least two bytes, in order of rank, for the pretokens in `counts`.

    Args:
        learned: the strings to prefer.
        avoid: strings that must not be among them.

    Raises GqvaeError when the text does not give so many that can be reached.
    """
    preferred = set(learned)
    unspelled = {piece: count for piece, count in counts.items() if piece not in preferred}
    found = train_bpe(counts, OVERSHOOT * size, avoid=avoid) + train_bpe(unspelled, size, avoid=avoid)
    candidates = {*found, *preferred} - set(avoid)
    chosen = in_order(counts, {token for token in candidates if len(token) <= MAX_TOKEN_BYTES})
    known: Known = {}
    while True:
        # What merges make of a piece changes only where one of the tokens that they made is pruned.
        kept = set(chosen)
        known = {key: spelling for key, spelling in known.items() if kept.issuperset(spelling.made)}
        loss, ranks = losses(counts, chosen, known), {token: rank for rank, token in enumerate(chosen)}
        # Tokens without loss are unused: they may stay to fill up, but only if merges can make them.
        chosen = [token for token in chosen if loss[token] or pair_of(token, ranks)]
        if len(chosen) < size:
            raise GqvaeError(f"the text gives {len(chosen)} strings that BPE can reach, not {size}: give more of it")
        if len(chosen) == size:
            return chosen
        too_many = len(chosen) - size
        some = min(too_many, max(int(size * SMALLEST_ROUND), int(too_many * LARGEST_ROUND), 1))
        worth = {token: loss[token] * (PREFERENCE if token in preferred else 1) for token in chosen}
        least = set(sorted(chosen, key=lambda token: (worth[token], -len(token), token))[:some])
        chosen = [token for token in chosen if token not in least]


def losses(counts: Counts, tokens: Sequence[bytes], known: Known | None = None) -> dict[bytes, int]:
    """Tokens more that the text would have without each of `tokens` (in order of rank).

    A whole pretoken: what merges make of it. A token that others are merged from: what becomes of those, wherever they
    are used, each by itself.

    Args:
        known: remembers what merges make, for calls with fewer of these tokens.
    """
    ranks = {token: rank for rank, token in enumerate(tokens)}
    known = {} if known is None else known
    loss, used = dict.fromkeys(tokens, 0), Counter[bytes]()
    for piece, count in counts.items():
        if piece in ranks:
            loss[piece] += count * (max(2, len(_spell(piece, ranks, known).left)) - 1)  # two, where it is made of two
        else:
            for token in _spell(piece, ranks, known).left:
                used[token] += count
    for token, count in used.items():
        if token not in ranks:  # a single byte
            continue
        loss[token] += count  # its pair would be left
        for made in set(_spell(token, ranks, known).made[:-1]):
            loss[made] += count * (len(_spell(token, ranks, known, made).left) - 1)
    return loss


def _spell(piece: bytes, ranks: dict[bytes, int], known: Known, without: bytes | None = None) -> Spelling:
    """What merges make of `piece` by all ranks or those without one."""
    if (found := known.get((piece, without))) is None:
        rank = ranks.pop(without) if without else 0
        pairs, left = merges(piece, ranks)
        if without:
            ranks[without] = rank
        found = known[piece, without] = Spelling([first + second for first, second in pairs], left)
    return found


def in_order(counts: Counts, tokens: Collection[bytes]) -> list[bytes]:
    """`tokens` as BPE makes them of those pretokens that are not among them; then those it does not make."""
    rest = {piece: count for piece, count in counts.items() if piece not in tokens}
    made = train_bpe(rest, len(tokens), tokens)
    others = set(tokens) - set(made)
    return made + sorted(others, key=lambda token: (len(token), -counts.get(token, 0), token))


def train_bpe(
    counts: Counts, most: int, allowed: Collection[bytes] | None = None, avoid: Collection[bytes] = ()
) -> list[bytes]:
    """The first `most` strings that BPE makes, the most frequent pair first, ties by bytes.

    Args:
        allowed: the only strings it may make; None for any.
        avoid: strings it must not make.
    """
    return [left + right for left, right in _Training(counts, allowed, avoid).pairs(most)]


class _Training:
    """Pretokens as they are merged, and how often each pair of neighbours occurs."""

    def __init__(self, counts: Counts, allowed: Collection[bytes] | None, avoid: Collection[bytes]) -> None:
        self._allowed, self._avoid = allowed, avoid
        self._words = [[piece[at : at + 1] for at in range(len(piece))] for piece in counts]
        self._counts = list(counts.values())
        self._frequency = Counter[Pair]()
        self._places: dict[Pair, set[int]] = defaultdict(set)
        for number, (word, count) in enumerate(zip(self._words, self._counts, strict=True)):
            for pair in pairwise(word):
                self._frequency[pair] += count
                self._places[pair].add(number)
        self._queue = [(-count, pair) for pair, count in self._frequency.items() if self._may_make(pair)]
        heapify(self._queue)

    def pairs(self, most: int) -> Iterator[Pair]:
        made: set[bytes] = set()
        while self._queue and len(made) < most:
            count, pair = heappop(self._queue)
            token = pair[0] + pair[1]
            if self._frequency[pair] != -count or token in made:  # the count has changed, or this is no new string
                continue
            made.add(token)
            yield pair
            self._merge(pair, token)

    def _merge(self, pair: Pair, token: bytes) -> None:
        change = Counter[Pair]()
        for number in self._places.pop(pair):
            word, count = self._words[number], self._counts[number]
            sites = list(_sites(word, pair))
            if not sites:  # it was there once
                continue
            around = slice(max(sites[0] - 1, 0), sites[-1] + 3)  # the other pairs of the word stay
            merged = _merged(word[around], pair, token)
            for other in pairwise(word[around]):
                change[other] -= count
            for other in pairwise(merged):
                change[other] += count
                self._places[other].add(number)
            word[around] = merged
        del change[pair], self._frequency[pair]
        for other, by in change.items():
            self._frequency[other] += by
            if by and self._frequency[other] > 0 and self._may_make(other):
                heappush(self._queue, (-self._frequency[other], other))

    def _may_make(self, pair: Pair) -> bool:
        token = pair[0] + pair[1]
        return (self._allowed is None or token in self._allowed) and token not in self._avoid


def _sites(word: list[bytes], pair: Pair) -> Iterator[int]:
    """Where `pair` is in `word`, from the left, without overlaps."""
    left, right = pair
    at = 0
    with suppress(ValueError):  # there is none any more
        while True:
            at = word.index(left, at, -1)
            if word[at + 1] == right:
                yield at
                at += 1
            at += 1


def _merged(word: Sequence[bytes], pair: Pair, token: bytes) -> list[bytes]:
    """`word` with the pair merged wherever it stands, from the left.

    >>> _merged([b"a", b"a", b"a", b"b"], (b"a", b"a"), b"aa")
    [b'aa', b'a', b'b']
    """
    result: list[bytes] = []
    pending = False  # whether the last of `result` may be the left one of the pair
    for part in word:
        if pending and part == pair[1]:
            result[-1], pending = token, False
        else:
            result.append(part)
            pending = part == pair[0]
    return result
