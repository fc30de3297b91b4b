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

from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

from gqvae.bpe import merges, pair_of
from gqvae.errors import GqvaeError
from gqvae.export.merging import Counts, train_bpe
from gqvae.vocabulary import MAX_TOKEN_BYTES


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
