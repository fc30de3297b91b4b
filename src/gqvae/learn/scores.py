"""Static scores, one a string, that make a plain Viterbi search reproduce the network's segmentation.

The network pays a price for each token and -ln q for the code. A static model can hold the same two things, a constant
for each token and its log frequency,

    score(v) = -1 + eta * ln p(v),

with p from the network's own segmentation; eta is fitted by agreement (and the constant, if a target has moved the
price: `CHEAPER`). What is left are ties that the network breaks by context. A structured perceptron (Collins 2002,
"Discriminative training methods for hidden Markov models", section 2) then lowers the strings that a wrong segmentation
used and raises those of the network's. In the end no string may score below shorter ones that spell it (`reachable`).
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby

from gqvae.encoder.viterbi import best_ids, build_trie
from gqvae.validation import SCORE_DECIMALS
from gqvae.vocabulary import Vocabulary

FIRST = tuple((-1.0, eta) for eta in (0.001, 0.01, 0.02, 0.05, 0.1, 0.2))
"""First guesses of the two numbers: the constant a token, and eta."""
CHEAPER = ((-0.5, 0.2), (-0.2, 0.2), (0.0, 0.2), (0.2, 0.2), (0.5, 0.2), (0.8, 0.2), (1.2, 0.2))
"""More of them, for a network whose tokens cost little, or less than nothing: only their ratio matters."""
ROUNDS = 12
RATE = 0.05
"""Learning rate of the first round, in units of a token's price; it falls as 1 / (1 + 0.3 round)."""
SHIFT = 4.0
"""Most by which all scores together are moved to meet a target for the compression."""
HALVINGS = 12
MORE = 1e-4
"""By which a string beats the shorter ones that spell it, at least."""
UNSEEN = 0.5
"""Count of a string that the network never used."""
SPARE = 0.002
"""Share of tokens over the fewest that agreement may cost. Inside words it costs none; across words the network sees
windows, and its segmentation is not worth imitating to the last."""

Ids = Sequence[tuple[int, ...]]


@dataclass(frozen=True)
class Fitted:
    scores: list[float]
    agreement: float
    tokens: float


def fit_scores(
    vocabulary: Vocabulary, texts: Sequence[bytes], counts: Sequence[float], wanted: Ids,
    first: Sequence[tuple[float, float]] = FIRST, spare: float = SPARE,
) -> list[float]:  # fmt: skip
    """The scores found that agree best with `wanted`, the network's ids of each text; ties go to the earlier.

    Args:
        counts: occurrences of each text.
        first: what is tried as the constant and eta; the first makes the fewest tokens.
        spare: share of tokens over the fewest that are too many.
    """
    log_probs = _log_probs(vocabulary, wanted, counts)
    guesses = [[round(constant + eta * log_prob, SCORE_DECIMALS) for log_prob in log_probs] for constant, eta in first]
    judged = [_judged(scores, static_ids(vocabulary, scores, texts), wanted, counts) for scores in guesses]
    most = judged[0].tokens * (1 + spare)
    best = max((fitted for fitted in judged if fitted.tokens <= most), key=_agreement)
    scores = best.scores
    for number in range(ROUNDS):
        found = static_ids(vocabulary, scores, texts)
        fitted = _judged(scores, found, wanted, counts)
        if fitted.tokens <= most:
            best = max(best, fitted, key=_agreement)
        scores = _corrected(scores, found, wanted, counts, RATE / (1 + 0.3 * number))
    return reachable(vocabulary, best.scores)


def reachable(vocabulary: Vocabulary, scores: Sequence[float]) -> list[float]:
    """`scores`, raised where a string would lose to shorter ones that spell it: it would lose wherever it stood, and
    its id never occur. Shorter strings first, since longer ones are made of them."""
    raised = list(scores)
    longest = max(map(len, vocabulary.plain_tokens))
    for _, tokens in groupby(sorted(vocabulary.learned, key=len), len):
        trie = build_trie(vocabulary.plain_tokens, raised)  # strings of one length do not spell each other
        for token in tokens:
            ids = best_ids(token, trie, longest, vocabulary.id_of)
            if len(ids) > 1:
                better = sum(raised[id_] for id_ in ids) + MORE
                raised[vocabulary.id_of[token]] = round(better, SCORE_DECIMALS)
    return raised


def meeting(
    tokens: float, vocabulary: Vocabulary, scores: Sequence[float], texts: Sequence[bytes], counts: Sequence[float]
) -> list[float]:
    """`scores`, all moved by the one constant with which the texts come nearest to `tokens` tokens in all: the static
    twin of the price. As they are when no constant does it.

    Args:
        counts: occurrences of each text.
    """

    def moved(by: float) -> list[float]:
        return [round(score + by, SCORE_DECIMALS) for score in scores]

    def found(by: float) -> float:
        return sum(n * len(ids) for n, ids in zip(counts, static_ids(vocabulary, moved(by), texts), strict=True))

    few, many = -SHIFT, SHIFT
    if not found(few) <= tokens <= found(many):
        return list(scores)
    for _ in range(HALVINGS):
        middle = (few + many) / 2
        few, many = (middle, many) if found(middle) <= tokens else (few, middle)
    return moved(min(few, many, key=lambda by: abs(found(by) - tokens)))


def occurring(
    vocabulary: Vocabulary, scores: Sequence[float], ids: Ids
) -> tuple[Vocabulary, list[tuple[int, ...]]]:  # fmt: skip
    """Without the learned strings that no text gives, since shorter ones that spell them score more (after a shift of
    all scores there are some); in `ids` the shorter ones take their place."""
    spelled = static_ids(vocabulary, scores, vocabulary.plain_tokens)
    learned = (token for token in vocabulary.learned if len(spelled[vocabulary.id_of[token]]) == 1)
    kept = Vocabulary(tuple(learned), vocabulary.specials)

    def ids_of(id_: int) -> Iterator[int]:
        if len(spelled[id_]) == 1:
            yield kept.id_of[vocabulary.plain_tokens[id_]]
        else:
            yield from chain.from_iterable(map(ids_of, spelled[id_]))

    return kept, [tuple(chain.from_iterable(map(ids_of, row))) for row in ids]


def static_ids(vocabulary: Vocabulary, scores: Sequence[float], pieces: Sequence[bytes]) -> list[tuple[int, ...]]:
    """The ids of each pretoken under static scores, as the tokenizer at run time finds them."""
    trie = build_trie(vocabulary.plain_tokens, scores)
    longest = max(map(len, vocabulary.plain_tokens))
    return [best_ids(piece, trie, longest, vocabulary.id_of) for piece in pieces]


def agreement(found: Ids, wanted: Ids, counts: Sequence[float]) -> float:
    """Share of pretoken occurrences that get the same ids."""
    return sum(n for a, b, n in zip(found, wanted, counts, strict=True) if a == b) / sum(counts)


def _agreement(fitted: Fitted) -> float:
    return fitted.agreement


def _judged(scores: Sequence[float], found: Ids, wanted: Ids, counts: Sequence[float]) -> Fitted:
    tokens = sum(count * len(ids) for ids, count in zip(found, counts, strict=True))
    return Fitted(list(scores), agreement(found, wanted, counts), tokens)


def _log_probs(vocabulary: Vocabulary, wanted: Ids, counts: Sequence[float]) -> list[float]:
    used: Counter[int] = Counter()
    for ids, count in zip(wanted, counts, strict=True):
        for id_ in ids:
            used[id_] += count  # type: ignore[assignment]
    frequencies = [used[id_] or UNSEEN for id_ in range(len(vocabulary.plain_tokens))]
    total = sum(frequencies)
    return [math.log(frequency / total) for frequency in frequencies]


def _corrected(
    scores: Sequence[float], found: Ids, wanted: Ids, counts: Sequence[float], rate: float
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
