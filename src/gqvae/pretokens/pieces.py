"""A batch of text -> its distinct pretokens and how often it has each."""

from itertools import accumulate, chain
from typing import TYPE_CHECKING, NamedTuple

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
    import numpy
    import pyarrow

    found = _counted(b"".join(blocks), [0, *accumulate(map(len, blocks))], pattern)
    data, starts = _contents(found.pieces)
    settled = numpy.diff(starts) <= window
    known = boundaries(pattern)
    if known and data:
        settled &= ~known.uncertain(data, starts[:-1])
    if settled.all():
        return found
    certain = Counts(found.pieces.filter(pyarrow.array(settled)), found.counts[settled])
    rest = Counts(found.pieces.filter(pyarrow.array(~settled)), found.counts[~settled])
    return _joined(certain, *_split(rest, pattern, window))


def _counted(data: bytes, bounds: list[int], pattern: str) -> Counts:
    """The distinct parts of `data` between certain boundaries. bounds: the starts of its blocks, and its end."""
    import numpy
    import pyarrow

    known = boundaries(pattern)
    starts = bounds[:-1] if known is None else known.cuts(data, bounds[:-1])
    offsets = numpy.append(starts, len(data)).astype(numpy.int64)
    buffers = [None, pyarrow.py_buffer(offsets), pyarrow.py_buffer(data)]
    parts = pyarrow.Array.from_buffers(pyarrow.large_binary(), len(offsets) - 1, buffers)
    distinct = parts.value_counts()
    return Counts(distinct.field(0), distinct.field(1).to_numpy())


def _contents(pieces: "pyarrow.LargeBinaryArray") -> "tuple[bytes, NDArray[numpy.int64]]":
    """The strings end to end, and where each starts, and the end: (n + 1,)."""
    import numpy

    _, offsets, data = pieces.buffers()
    starts = numpy.frombuffer(offsets, numpy.int64)[: len(pieces) + 1]
    return data.to_pybytes()[: int(starts[-1])], starts


def _split(parts: Counts, pattern: str, window: int) -> tuple[Counts, Counts]:
    """What the pattern makes of each part: pieces of at most `window` bytes, and what longer ones are cut into."""
    import numpy
    import pyarrow

    found = split_each(parts.pieces.cast(pyarrow.large_string()).to_pylist(), pattern)
    counts = parts.counts.repeat(list(map(len, found)))
    pieces = pyarrow.array(list(chain.from_iterable(found)), pyarrow.large_string()).cast(pyarrow.large_binary())
    long = numpy.diff(_contents(pieces)[1]) > window
    cuts = [cut(piece, window) for piece in pieces.filter(pyarrow.array(long)).to_pylist()]
    shortened = pyarrow.array(list(chain.from_iterable(cuts)), pyarrow.large_binary())
    return (
        Counts(pieces.filter(pyarrow.array(~long)), counts[~long]),
        Counts(shortened, counts[long].repeat(list(map(len, cuts)))),
    )


def _joined(*parts: Counts) -> Counts:
    import numpy
    import pyarrow

    return Counts(
        pyarrow.concat_arrays([part.pieces for part in parts]), numpy.concatenate([part.counts for part in parts])
    )
