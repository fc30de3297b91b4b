"""Static scores, one a string, that make a plain Viterbi search reproduce the network's segmentation.

The network pays a price for each token and -ln q for the code. A static model can hold the same two things: a constant
for each token and its log frequency,

    score(v) = -1 + eta * ln p(v),

with p from the network's own segmentation. Only eta is fitted, by agreement: near 0 the fewest tokens win and frequency
breaks ties; large values are a Unigram language model.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gqvae.pretokens import PretokenTable
from gqvae.viterbi import best_lengths, build_trie
from gqvae.vocabulary import Vocabulary

ETAS = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
UNSEEN = 0.5
"""Count of a string that the network never used."""


@dataclass(frozen=True)
class Fitted:
    scores: list[float]
    """One for each id before the specials."""
    eta: float
    agreement: float
    """Share of pretoken occurrences of the fitted table whose ids are the network's."""


def fit_scores(vocabulary: Vocabulary, table: PretokenTable, wanted: Sequence[tuple[int, ...]]) -> Fitted:
    """The scores that agree best with `wanted`, the network's ids of each pretoken; ties go to the smaller eta."""
    counts = table.counts.tolist()
    used: Counter[int] = Counter()
    for ids, count in zip(wanted, counts, strict=True):
        for id_ in ids:
            used[id_] += count
    plain = len(vocabulary.plain_tokens)
    frequencies = [used[id_] or UNSEEN for id_ in range(plain)]
    log_probs = [math.log(frequency / sum(frequencies)) for frequency in frequencies]

    fits = []
    for eta in ETAS:
        scores = [round(-1 + eta * log_prob, 6) for log_prob in log_probs]
        found = static_ids(vocabulary, scores, table.pieces)
        agreeing = sum(count for a, b, count in zip(found, wanted, counts, strict=True) if a == b)
        fits.append(Fitted(scores, eta, agreeing / sum(counts)))
    return max(fits, key=lambda fit: (fit.agreement, -fit.eta))


def static_ids(vocabulary: Vocabulary, scores: Sequence[float], pieces: Sequence[bytes]) -> list[tuple[int, ...]]:
    """The ids of each pretoken under static scores, as the tokenizer at run time finds them."""
    trie = build_trie(vocabulary.plain_tokens, scores)
    longest = max(map(len, vocabulary.plain_tokens))
    id_of = vocabulary.id_of
    found = []
    for piece in pieces:
        ids, start = [], 0
        for length in best_lengths(piece, trie, longest):
            ids.append(id_of[piece[start : start + length]])
            start += length
        found.append(tuple(ids))
    return found
