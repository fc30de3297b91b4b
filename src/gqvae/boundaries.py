"""Where pretokens end, told from a few neighbouring characters, so that whole arrays of text are cut at once.

What a pattern makes of a text hangs on the kinds of its characters. For most pairs of neighbours the two kinds decide
alone: between a letter and a comma there is always a boundary, between two letters of a word never; for some it takes
the kind before them. So text is cut wherever that is certain, a part is a pretoken where all that is left is certain,
and the pattern itself, which is slow, only reads the few distinct parts that hold something uncertain. A test compares
all short texts of all kinds.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import regex

from gqvae.patterns import NEWER, compiled_pattern

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Kinds = NDArray[numpy.uint8]
    Mask = NDArray[numpy.bool_]
    Numbers = NDArray[numpy.int64]
    Places = Sequence[int] | Numbers

_POINTS = 0x110000

# The kinds of characters, one letter each. In patterns of words:
# L letter, N number, _ the space, R line end, S other white space, A apostrophe, O all else.
_WORDS = {"O": r"[\s\S]", "L": r"\p{L}", "N": r"\p{N}", "S": r"\s", "R": r"[\r\n]", "_": " ", "A": "'"}
# In sentences: E ends one, Q may close it, R line end, O all else.
_SENTENCES = {"O": r"[\s\S]", "E": "[.!?]", "Q": "[\"'”’)]", "R": r"\n"}


class Rules(NamedTuple):
    """What neighbouring kinds say; each item is "kinds before, kinds after".

    cut: there is a boundary, and the text before splits as it does when it ends there.
    cut_third: so there is between the second and the third of three.
    digits: the most numbers in a pretoken, 0 if any number of them; they have a boundary before them.
    join: a part all of whose pairs are among these is one pretoken.
    first: these pairs join, too, where the former character is the first of its part.
    alone: white space that is a pretoken by itself if there is no other on either side.
    """

    kinds: dict[str, str]
    cut: tuple[str, ...]
    join: tuple[str, ...]
    cut_third: tuple[str, ...] = ()
    digits: int = 0
    first: tuple[str, ...] = ()
    alone: str = ""


_GPT4 = Rules(
    _WORDS,
    cut=("L NSR_AO", "N LSR_AO", "AO NS_", "R LNAO", "_ N"),
    join=("L L", "N N", "_S L", "_AO AO", "AOR R", "_ _"),
    cut_third=("_AO AO L", "AO R _S"),
    digits=3,
    first=("O L",),
)
_RULES = {
    "gpt2": Rules(
        _WORDS, cut=("L NSR_AO", "N LSR_AO", "AO NSR_", "O L"), join=("L L", "N N", "_ LN", "_AO AO"), alone="SR"
    ),
    "gpt4": _GPT4,
    "gpt4-2digits": _GPT4._replace(digits=2),
    "punct": Rules(
        _WORDS,
        cut=("L NSR_AO", "N LSR_AO", "AO LNS_", "R LNAO", "_ N"),
        join=("L L", "N N", "_ L", "_AO AO", "AOR R", "_ _"),
        cut_third=("AO R _S",),
        digits=3,
    ),
    "whitespace": Rules(_WORDS, cut=("LNAO SR_",), join=("_LNAO LNAO",), alone="SR"),
    "sentence": Rules(_SENTENCES, cut=("E O", "R EQO"), join=("O EQRO", "E EQR", "QR R", "Q Q")),
}


class Boundaries:
    """The boundaries of one pattern, any but "none", in texts that are given end to end as UTF-8."""

    def __init__(self, pattern: str) -> None:
        import numpy

        rules = _RULES[pattern]
        self._kinds = _kinds(tuple(rules.kinds.items()))
        self._join = _pairs(rules.kinds, rules.join)
        self._first = _pairs(rules.kinds, rules.join + rules.first)
        names = list(rules.kinds)
        self._cut_third = _triples(rules.kinds, rules.cut_third)
        self._digits, self._number = rules.digits, names.index("N") if "N" in names else -1
        # (64,): 1 where a pair is cut, 2 where that hangs on the kind before it, 3 between numbers: one look-up for all
        self._says = numpy.where(_pairs(rules.kinds, rules.cut), 1, 2 * self._cut_third.any(0)).astype(numpy.uint8)
        if self._digits:
            self._says[self._number << 3 | self._number] = 3
        self._space = names.index("_") if "_" in names else None
        self._word = numpy.array([kind in "LNAO" for kind in names])
        self._alone = numpy.array([kind in rules.alone for kind in names]) if rules.alone else None

    def cuts(self, texts: bytes, starts: "Places") -> "NDArray[numpy.int64]":
        """(n,): the bytes where a pretoken certainly begins. starts: where each text begins."""
        import numpy

        kinds, places = self._characters(texts)
        begins = numpy.zeros(len(kinds), bool)
        begins[_rank(places, starts)] = True
        found, pairs = begins.copy(), _pairs_of(kinds)
        says = self._says[pairs]
        found[1:] |= says == 1
        rare = numpy.flatnonzero(says > 1)
        rare = rare[~begins[rare + 1]]
        self._cut_at_third(found, begins, kinds, pairs, rare[says[rare] == 2])
        if self._digits:
            self._cut_numbers(found, rare[says[rare] == 3])
        if self._space is not None:  # in patterns of words a pretoken also begins at a space before something else
            word = self._word[kinds]
            found[:-1] |= (kinds[:-1] == self._space) & word[1:] & ~begins[1:]
            if self._alone is not None:
                alone = self._alone[kinds]
                alone[1:] &= word[:-1] | begins[1:]
                found[1:] |= alone[:-1] & word[1:]
        return numpy.flatnonzero(found) if places is None else places[found]

    def last_cut(self, text: bytes) -> int:
        """The last byte of `text` where a pretoken certainly begins, whatever comes before; 0 where there is none."""
        # white space makes nothing certain: more of it, at the start of the text, may end a longer run; so may numbers
        text = b"\n" + text
        cuts = self.cuts(text, [0])
        if self._digits and len(cuts) > 1 and text[: cuts[-1]].endswith(b" "):
            # what ends with the space before a number splits otherwise: the number is what cuts it off
            cuts = cuts[:-1]
        end = int(cuts[-1])
        return 0 if self._digits and (self._characters(text[1:end])[0] == self._number).all() else max(0, end - 1)

    def _cut_at_third(self, found: "Mask", begins: "Mask", kinds: "Kinds", pairs: "Kinds", asks: "Numbers") -> None:
        """asks: the seconds of three."""
        seconds = asks[(asks > 0) & ~begins[asks]]
        found[seconds[self._cut_third[kinds[seconds - 1], pairs[seconds]]] + 1] = True

    def _cut_numbers(self, found: "Mask", numbers: "Numbers") -> None:
        """numbers: those with another behind them."""
        import numpy

        first = numpy.diff(numbers, prepend=-2) != 1
        nth = 1 + numbers - numpy.maximum.accumulate(numpy.where(first, numbers, 0))
        found[1 + numbers[nth % self._digits == 0]] = True

    def uncertain(self, parts: bytes, starts: "Places") -> "Mask":
        """(n,): whether there may or may not be boundaries within each of n parts. starts: where each begins."""
        import numpy

        kinds, places = self._characters(parts)
        firsts = _rank(places, starts)
        pairs = _pairs_of(kinds)
        found = numpy.zeros(len(kinds), bool)
        found[1:] = ~self._join[pairs]
        seconds = numpy.asarray(firsts) + 1
        seconds = seconds[seconds < len(kinds)]
        found[seconds] = ~self._first[pairs[seconds - 1]]
        found[firsts] = False
        return numpy.logical_or.reduceat(found, firsts)

    def _characters(self, texts: bytes) -> "tuple[Kinds, NDArray[numpy.int64] | None]":
        """(n,): the kind of each character, and the byte where it begins; None where each has one byte."""
        import numpy

        data = numpy.frombuffer(texts, numpy.uint8)
        if texts.isascii():
            return numpy.take(self._kinds, data), None
        kinds = numpy.take(self._kinds, numpy.frombuffer(texts.decode().encode("utf-32-le"), "<u4"))
        return kinds, numpy.flatnonzero((data & 0xC0) != 0x80)


@cache
def boundaries(pattern: str) -> Boundaries | None:
    """None for "none", which has no boundaries. Raises GqvaeError for an unknown pattern."""
    return None if compiled_pattern(pattern) is None else Boundaries(pattern)


def _rank(places: "NDArray[numpy.int64] | None", starts: "Places") -> "Places":
    """The number of the character that begins at each of `starts`."""
    return starts if places is None else places.searchsorted(starts)


def _pairs_of(kinds: "Kinds") -> "Kinds":
    import numpy

    return kinds[:-1] * numpy.uint8(8) + kinds[1:]


def _pairs(kinds: dict[str, str], rules: tuple[str, ...]) -> "Mask":
    """Whether a pair is among the rules, (64,), by `_pairs_of`."""
    import numpy

    number = {kind: i for i, kind in enumerate(kinds)}
    table = numpy.zeros(64, bool)
    for before, after in (pair for rule in rules for pair in product(*rule.split())):
        table[number[before] << 3 | number[after]] = True
    return table


def _triples(kinds: dict[str, str], rules: tuple[str, ...]) -> "Mask":
    """Whether a kind and the pair after it are among the rules, (8, 64)."""
    import numpy

    table = numpy.zeros((8, 64), bool)
    for first, *pair in map(str.split, rules):
        for kind in first:
            table[list(kinds).index(kind)] |= _pairs(kinds, (" ".join(pair),))
    return table


@cache
def _kinds(kinds: tuple[tuple[str, str], ...]) -> "Kinds":
    """The kind of every code point: the number of the last expression that matches it."""
    import numpy

    points = NEWER.sub("\ufdd0", "".join(map(chr, range(_POINTS))))
    table = numpy.zeros(_POINTS, numpy.uint8)
    for number, (_, expression) in enumerate(kinds):
        for start, end in _runs(expression, points):
            table[start:end] = number
    return table


def _runs(expression: str, points: str) -> Iterator[tuple[int, int]]:
    for match in regex.finditer(f"(?:{expression})+", points):
        yield match.span()
