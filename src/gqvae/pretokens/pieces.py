"""A batch of text -> its distinct pretokens and how often it has each."""

from itertools import accumulate, chain
from typing import TYPE_CHECKING, NamedTuple

from gqvae.arrow import column, filtered, numbers, strings
from gqvae.boundaries import boundaries
from gqvae.patterns import cut, split_each

if TYPE_CHECKING:
    import numpy
    import pyarrow
    from numpy.typing import NDArray


class Counts(NamedTuple):
    """Byte strings, (n,) large_binary, and how often each occurs, (n,) int64, positive. Strings may be repeated."""

    pieces: "pyarrow.LargeBinaryArray"
    counts: "NDArray[numpy.int64]"


def count_pieces(blocks: list[bytes], pattern: str, window: int) -> Counts:
    """Count the pretokens of at most `window` bytes of blocks of UTF-8, none of them empty, each split by itself.

    Arrow cuts and counts the text at all boundaries that a few characters tell; what is left uncertain, or too long,
    the pattern splits, each distinct part once.
    """
    found, uncertain = _counted(b"".join(blocks), [0, *accumulate(map(len, blocks))], pattern)
    settled = ~uncertain & (_lengths(found.pieces) <= window)
    if settled.all():
        return found
    certain = Counts(filtered(found.pieces, settled), found.counts[settled])
    rest = Counts(filtered(found.pieces, ~settled), found.counts[~settled])
    return _joined(certain, *_split(rest, pattern, window))


def _counted(data: bytes, bounds: list[int], pattern: str) -> "tuple[Counts, NDArray[numpy.bool_]]":
    """The distinct parts of `data` between certain boundaries, and whether each may have others within.

    bounds: the starts of its blocks, and its end.
    """
    import numpy

    starts = numpy.array(bounds[:-1], numpy.int64)
    open_ = numpy.empty(0, numpy.int64)
    if known := boundaries(pattern):
        starts, open_ = known.parts(data, starts)
    parts = strings(data, starts).dictionary_encode()
    indices = numbers(parts.indices)
    uncertain = numpy.zeros(len(parts.dictionary), bool)
    uncertain[indices[open_]] = True
    return Counts(parts.dictionary, numpy.bincount(indices)), uncertain


def _lengths(pieces: "pyarrow.LargeBinaryArray") -> "NDArray[numpy.int64]":
    import pyarrow.compute

    return numbers(pyarrow.compute.binary_length(pieces))


def _split(parts: Counts, pattern: str, window: int) -> tuple[Counts, Counts]:
    """What the pattern makes of each part: pieces of at most `window` bytes, and what longer ones are cut into."""
    found = split_each([part.decode() for part in parts.pieces.to_pylist()], pattern)
    counts = parts.counts.repeat(list(map(len, found)))
    pieces = column([piece.encode() for piece in chain.from_iterable(found)])
    long = _lengths(pieces) > window
    cuts = [cut(piece, window) for piece in filtered(pieces, long).to_pylist()]
    shortened = column(list(chain.from_iterable(cuts)))
    return (
        Counts(filtered(pieces, ~long), counts[~long]),
        Counts(shortened, counts[long].repeat(list(map(len, cuts)))),
    )


def _joined(*parts: Counts) -> Counts:
    import numpy
    import pyarrow

    return Counts(
        pyarrow.concat_arrays([part.pieces for part in parts]), numpy.concatenate([part.counts for part in parts])
    )
