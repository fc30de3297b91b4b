"""What strings are worth to a segmentation, and which spans it needs: counted in tokens.

A segmentation is a list of (tokens, weight): the spans that tile one pretoken, and how often that pretoken occurs.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

from gqvae.spelling import spell, worth

Segmentation = Sequence[tuple[list[str], float]]

GRAM = 3
"""Most neighbouring tokens that one new string may replace."""
UNSPELLED = 3.0
"""Tokens that a span outside the vocabulary counts as: it has to be spelled by several."""


def fewest_tokens(pretokens: Iterable[tuple[str, float]], strings: Collection[str], longest: int) -> Segmentation:
    """Each pretoken with its weight, spelled with the fewest of `strings`."""
    known = set(strings)
    return [(spell(piece, known, longest), weight) for piece, weight in pretokens]


def usage(segmentation: Segmentation) -> Counter[str]:
    """How often each span is used."""
    used: Counter[str] = Counter()
    for tokens, weight in segmentation:
        for token in tokens:
            used[token] += weight  # type: ignore[assignment]
    return used


def needs(segmentation: Segmentation, strings: Collection[str], longest: int) -> Counter[str]:
    """Tokens that each span of at most `longest` bytes would save as one token more: runs of tokens, and spans that
    are used but not among `strings`.

    >>> needs([([" sho", "wed"], 5.0), ([" sho", "w"], 2.0)], {" sho", "w", "wed"}, longest=7)
    Counter({' showed': 5.0, ' show': 2.0})
    """
    saved: Counter[str] = Counter()
    for tokens, weight in segmentation:
        for last, token in enumerate(tokens):
            if token not in strings:
                saved[token] += UNSPELLED * weight  # type: ignore[assignment]
            for number, span in runs(tokens, last, longest):
                if span not in strings:
                    saved[span] += (number - 1) * weight  # type: ignore[assignment]
    return saved


def neediest(wanted: Counter[str]) -> list[str]:
    """The spans of `needs`, those that save most first."""
    return sorted(wanted, key=lambda span: (-wanted[span], span))


def runs(tokens: Sequence[str], last: int, longest: int) -> Iterator[tuple[int, str]]:
    """The runs of 2 to `GRAM` tokens that end with token `last` and have at most `longest` bytes: (tokens, bytes).

    >>> list(runs(["a", "b", "c", "d"], 3, longest=8))
    [(2, 'cd'), (3, 'bcd')]
    """
    span = tokens[last]
    for first in range(last - 1, max(-1, last - GRAM), -1):
        span = tokens[first] + span
        if len(span) > longest:
            return
        yield last - first + 1, span


def worths(used: Counter[str], strings: Collection[str], longest: int) -> dict[str, float]:
    """Tokens that each string saves over the best spelling without it. A single byte has none: it counts as the spans
    that would be left unspelled."""
    return {
        string: used[string] * (UNSPELLED if len(string) == 1 else worth(string, strings, longest))
        for string in strings
    }
