"""Where pretokens end, told from a few neighbouring characters, so that whole arrays of text are cut at once.

What a pattern makes of a text hangs on the kinds of its characters. For most pairs of neighbours the two kinds decide
alone: between a letter and a comma there is always a boundary, between two letters of a word never; for some it takes
the kind before them. So text is cut wherever that is certain, a part is a pretoken where all that is left is certain,
and the pattern itself, which is slow, only reads the few distinct parts that hold something uncertain. A test compares
all short texts of all kinds.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any, NamedTuple

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
_NEWER_END = 0x40000  # `NEWER` has nothing from here on

# The kinds of characters, one letter each. In patterns of words:
# L letter, N number, _ the space, R line end, S other white space, A apostrophe, O all else.
_WORDS = {"O": r"[\s\S]", "L": r"\p{L}", "N": r"\p{N}", "S": r"\s", "R": r"[\r\n]", "_": " ", "A": "'"}
# In sentences: E ends one, Q may close it, R line end, O all else.
_SENTENCES = {"O": r"[\s\S]", "E": "[.!?]", "Q": "[\"'”’)]", "R": r"\n"}
_START = "^"  # before the first character of a text

_ASCII, _FOLLOWING = bytes(range(0x80)), bytes(range(0x80, 0xC0))  # the bytes of UTF-8 within a character
_OTHER = 0xFF  # what a table says of what it does not hold
_BLOCK = 1 << 17  # bytes of texts that are cut together: with all that is made of them they fit into a cache
_SLICE = 1 << 15  # characters whose code points fit, three times over, into a processor's cache
_SELDOM = 8  # where no more than one in so many bytes is within a character, other characters are looked up alone

# What a pair of kinds says, in bits.
_CUT = 1  # there is a boundary between the two
_CUT_BEFORE = 2  # there is one before both
_ASK = 4  # the kind before them decides whether there is one between the two
_COUNT = 8  # two numbers, of which a pretoken holds only so many


class Rules(NamedTuple):
    """What neighbouring kinds say; each item is "kinds before, kinds after".

    cut: there is a boundary, and the text before splits as it does when it ends there.
    cut_third: kinds a, b, c with such a boundary between b and c.
    cut_before: pairs with such a boundary before the first.
    digits: the most numbers in a pretoken, 0 if any number of them; they have a boundary before them.
    join: a part all of whose pairs are among these is one pretoken.
    first: these pairs join, too, where the former character is the first of its part.
    """

    kinds: dict[str, str]
    cut: tuple[str, ...]
    join: tuple[str, ...]
    cut_third: tuple[str, ...] = ()
    cut_before: tuple[str, ...] = ("_ LNAO",)
    digits: int = 0
    first: tuple[str, ...] = ()


_ALONE = "^LNAO SR LNAO"  # white space is a pretoken if there is no other on either side
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
        _WORDS,
        cut=("L NSR_AO", "N LSR_AO", "AO NSR_", "O L"),
        join=("L L", "N N", "_ LN", "_AO AO"),
        cut_third=(_ALONE,),
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
    "whitespace": Rules(_WORDS, cut=("LNAO SR_",), join=("_LNAO LNAO",), cut_third=(_ALONE,)),
    "sentence": Rules(_SENTENCES, cut=("E O", "R EQO"), join=("O EQRO", "E EQR", "QR R", "Q Q"), cut_before=()),
}


class Boundaries:
    """The boundaries of one pattern, any but "none", in texts that are given end to end as UTF-8."""

    def __init__(self, pattern: str) -> None:
        rules = _RULES[pattern]
        names = [*rules.kinds, _START]
        assert len(names) <= 8, "three bits each"
        self._kinds = _kinds(tuple(rules.kinds.items()))
        self._ascii_kinds = _table(self._kinds[:128])
        self._open = _table(~_pairs(names, rules.join))
        self._joins_first = _pairs(names, rules.join + rules.first)
        self._cut_third = _triples(names, rules.cut_third)
        self._start, self._digits = names.index(_START), rules.digits
        self._number = names.index("N") if "N" in names else -1
        says = _CUT * _pairs(names, rules.cut) + _CUT_BEFORE * _pairs(names, rules.cut_before)
        says += _ASK * self._cut_third.any(0)
        if rules.digits:
            says += _COUNT * _pairs(names, ("N N",))
        self._says = _table(says)

    def parts(self, texts: bytes, starts: "Places") -> "tuple[Numbers, Numbers]":
        """(n,): the bytes where a pretoken certainly begins, and which of the n parts that begin there are uncertain:
        there may or may not be boundaries within.

        Args:
            starts: where each text begins; none is empty.

        Returns:
            The bytes, rising, and the numbers of the parts, rising, some repeated.
        """
        import numpy

        firsts: Numbers = numpy.asarray(starts, numpy.int64)
        blocks = numpy.unique(firsts.searchsorted(range(0, len(texts), _BLOCK)))  # the first text of each
        bounds = firsts[blocks[blocks < len(firsts)]].tolist()
        cuts, uncertain, count = [firsts[:0]], [firsts[:0]], 0
        for begin, end in pairwise([*bounds, len(texts)]):
            inside = firsts[slice(*firsts.searchsorted((begin, end)))]
            of_block, open_ = self._parts(texts[begin:end], inside - begin)
            cuts.append(begin + of_block)
            uncertain.append(count + open_)
            count += len(of_block)
        return numpy.concatenate(cuts), numpy.concatenate(uncertain)

    def _parts(self, texts: bytes, firsts: "Numbers") -> "tuple[Numbers, Numbers]":
        import numpy

        kinds, places = self._characters(texts)
        if places is not None:
            firsts = places.searchsorted(firsts)
        pairs = kinds[:-1] * numpy.uint8(8) + kinds[1:]
        begins = self._begins(kinds, pairs, firsts)
        cuts = numpy.flatnonzero(begins)
        open_ = numpy.flatnonzero(_looked_up(pairs, self._open).view(bool) & ~begins[1:])
        open_ = open_[~(begins[open_] & self._joins_first[pairs[open_]])]
        uncertain = cuts.searchsorted(open_, "right") - 1
        return cuts if places is None else places.take(cuts), uncertain

    def _begins(self, kinds: "Kinds", pairs: "Kinds", firsts: "Numbers") -> "Mask":
        """Whether a pretoken certainly begins at each character. firsts: those that a text begins with."""
        import numpy

        says = _looked_up(pairs, self._says)
        says[firsts[1:] - 1] = 0  # of two texts
        begins = numpy.zeros(len(kinds), bool)
        begins[firsts] = True
        asks = numpy.flatnonzero(says >= _ASK)
        seconds = asks[says[asks] & _ASK > 0]
        before = numpy.where(begins[seconds], self._start, kinds[seconds - 1])
        thirds = 1 + seconds[self._cut_third[before, pairs[seconds]]]
        begins[1:] |= (says & _CUT).view(bool)
        begins[:-1] |= says & _CUT_BEFORE > 0
        begins[thirds] = True
        if self._digits:
            begins[self._numbers_that_begin(asks[says[asks] & _COUNT > 0])] = True
        return begins

    def last_cut(self, text: bytes) -> int:
        """The last byte of `text` where a pretoken certainly begins, whatever comes before; 0 where there is none."""
        # the text may start within a run of white space or of numbers: behind a newline its start counts as uncertain
        text = b"\n" + text
        cuts, _ = self.parts(text, [0])
        if self._digits and len(cuts) > 1 and text[: cuts[-1]].endswith(b" "):
            # what ends with the space before a number splits otherwise: the number is what cuts it off
            cuts = cuts[:-1]
        end = int(cuts[-1])
        return 0 if self._digits and (self._characters(text[1:end])[0] == self._number).all() else max(0, end - 1)

    def _numbers_that_begin(self, numbers: "Numbers") -> "Numbers":
        """The numbers, of a run of them, before which a pretoken ends. numbers: those with another behind them."""
        import numpy

        first = numpy.diff(numbers, prepend=-2) != 1
        nth = 1 + numbers - numpy.maximum.accumulate(numpy.where(first, numbers, 0))
        last: Numbers = numbers[nth % self._digits == 0]
        return 1 + last

    def _characters(self, texts: bytes) -> "tuple[Kinds, Numbers | None]":
        """(n,): the kind of each character, and the byte where it begins; None where each has one byte."""
        import numpy

        data = numpy.frombuffer(texts, numpy.uint8)
        if texts.isascii():
            return _looked_up(data, self._ascii_kinds), None
        places = numpy.flatnonzero((data & 0xC0) != 0x80)
        if (len(data) - len(places)) * _SELDOM > len(data):
            return self._kinds_of(texts), places
        kinds = numpy.frombuffer(bytearray(texts).translate(self._ascii_kinds, _FOLLOWING), numpy.uint8)
        kinds[numpy.flatnonzero(kinds == _OTHER)] = self._kinds_of(texts.translate(None, _ASCII))
        return kinds, places

    def _kinds_of(self, data: bytes) -> "Kinds":
        import numpy

        text = data.decode()
        slices = (text[start : start + _SLICE].encode("utf-32-le") for start in range(0, len(text), _SLICE))
        kinds: Kinds = numpy.concatenate([self._kinds.take(numpy.frombuffer(points, "<u4")) for points in slices])
        return kinds


@cache
def boundaries(pattern: str) -> Boundaries | None:
    """None for "none", which has no boundaries. Raises GqvaeError for an unknown pattern."""
    return None if compiled_pattern(pattern) is None else Boundaries(pattern)


def _table(values: "NDArray[Any]") -> bytes:
    """What `_looked_up` looks up."""
    import numpy

    return values.astype(numpy.uint8).tobytes().ljust(256, bytes([_OTHER]))


def _looked_up(indices: "Kinds", table: bytes) -> "Kinds":
    """`table[indices]`, six times as fast."""
    import numpy

    return numpy.frombuffer(bytearray(indices).translate(table), numpy.uint8)


def _pairs(names: list[str], rules: tuple[str, ...]) -> "Mask":
    """Whether a pair is among the rules, (64,): eight times the former kind and the latter."""
    import numpy

    number = {name: i for i, name in enumerate(names)}
    table = numpy.zeros(64, bool)
    for before, after in (pair for rule in rules for pair in product(*rule.split())):
        table[number[before] << 3 | number[after]] = True
    return table


def _triples(names: list[str], rules: tuple[str, ...]) -> "Mask":
    """Whether a kind and the pair after it are among the rules, (8, 64)."""
    import numpy

    table = numpy.zeros((8, 64), bool)
    for first, *pair in map(str.split, rules):
        for kind in first:
            table[names.index(kind)] |= _pairs(names, (" ".join(pair),))
    return table


@cache
def _kinds(kinds: tuple[tuple[str, str], ...]) -> "Kinds":
    """The kind of every code point: the number of the last expression that matches it."""
    import numpy

    points = numpy.arange(_POINTS, dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")
    points = NEWER.sub("\ufdd0", points[:_NEWER_END]) + points[_NEWER_END:]
    table = numpy.zeros(_POINTS, numpy.uint8)
    for number, (_, expression) in enumerate(kinds):
        for start, end in _runs(expression, points):
            table[start:end] = number
    return table


def _runs(expression: str, points: str) -> Iterator[tuple[int, int]]:
    for match in regex.finditer(f"(?:{expression})+", points):
        yield match.span()
