"""Static scores, one a string, that make a plain Viterbi search reproduce the network's segmentation.

The network pays a price for each token and -ln q for the code. A static model can hold the same two things, a constant
for each token and its log frequency,

    score(v) = -1 + eta * ln p(v),

with p from the network's own segmentation; eta is fitted by agreement. What is left are ties that the network breaks by
context. A structured perceptron (Collins 2002, "Discriminative training methods for hidden Markov models", section 2)
then lowers the strings that a wrong segmentation used and raises those of the network's.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gqvae.pretokens import PretokenTable
from gqvae.validation import SCORE_DECIMALS
from gqvae.viterbi import best_ids, build_trie
from gqvae.vocabulary import Vocabulary

ETAS = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2)
ROUNDS = 12
RATE = 0.05
"""Of the first round's corrections, in units of a token's price; it falls as 1 / (1 + 0.3 round)."""
UNSEEN = 0.5
"""Count of a string that the network never used."""

Ids = Sequence[tuple[int, ...]]


@dataclass(frozen=True)
class Fitted:
    scores: list[float]
    """One for each id before the specials."""
    agreement: float
    """Share of pretoken occurrences of the fitted table whose ids are the network's."""


def fit_scores(vocabulary: Vocabulary, table: PretokenTable, wanted: Ids) -> Fitted:
    """The scores found that agree best with `wanted`, the network's ids of each pretoken; ties go to the earlier."""
    counts = table.counts.tolist()
    log_probs = _log_probs(vocabulary, wanted, counts)
    best = Fitted([], -1.0)
    for eta in ETAS:
        scores = [round(-1 + eta * log_prob, SCORE_DECIMALS) for log_prob in log_probs]
        best = max(best, _judged(scores, static_ids(vocabulary, scores, table.pieces), wanted, counts), key=_agreement)
    scores = best.scores
    for number in range(ROUNDS):
        found = static_ids(vocabulary, scores, table.pieces)
        best = max(best, _judged(scores, found, wanted, counts), key=_agreement)
        scores = _corrected(scores, found, wanted, counts, RATE / (1 + 0.3 * number))
    return best


def static_ids(vocabulary: Vocabulary, scores: Sequence[float], pieces: Sequence[bytes]) -> list[tuple[int, ...]]:
    """The ids of each pretoken under static scores, as the tokenizer at run time finds them."""
    trie = build_trie(vocabulary.plain_tokens, scores)
    longest = max(map(len, vocabulary.plain_tokens))
    return [best_ids(piece, trie, longest, vocabulary.id_of) for piece in pieces]


def agreement(found: Ids, wanted: Ids, counts: Sequence[int]) -> float:
    """Share of pretoken occurrences that get the same ids."""
    return sum(n for a, b, n in zip(found, wanted, counts, strict=True) if a == b) / sum(counts)


def _agreement(fitted: Fitted) -> float:
    return fitted.agreement


def _judged(scores: Sequence[float], found: Ids, wanted: Ids, counts: Sequence[int]) -> Fitted:
    return Fitted(list(scores), agreement(found, wanted, counts))


def _log_probs(vocabulary: Vocabulary, wanted: Ids, counts: Sequence[int]) -> list[float]:
    used: Counter[int] = Counter()
    for ids, count in zip(wanted, counts, strict=True):
        for id_ in ids:
            used[id_] += count
    frequencies = [used[id_] or UNSEEN for id_ in range(len(vocabulary.plain_tokens))]
    total = sum(frequencies)
    return [math.log(frequency / total) for frequency in frequencies]


def _corrected(
    scores: Sequence[float], found: Ids, wanted: Ids, counts: Sequence[int], rate: float
) -> list[float]:  # fmt: skip
    """One batch round of the perceptron; a string moves by its mean error, pretokens weighing the root of their count
    so that a few frequent ones do not decide alone."""
    errors, uses = [0.0] * len(scores), [5.0] * len(scores)
    for a, b, count in zip(found, wanted, counts, strict=True):
        weight = math.sqrt(count)
        for id_ in b:
            uses[id_] += weight
        if a != b:
            for id_ in b:
                errors[id_] += weight
            for id_ in a:
                errors[id_] -= weight
    return [
        round(score + rate * error / use, SCORE_DECIMALS)  # as the tokenizer keeps them: what is judged is what ships
        for score, error, use in zip(scores, errors, uses, strict=True)
    ]
