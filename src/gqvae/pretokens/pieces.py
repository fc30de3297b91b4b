"""A batch of text -> its distinct pretokens and how often it has each."""

from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from gqvae.boundaries import boundaries
from gqvae.patterns import cut, split_text

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

    Arrow cuts and counts the text at all boundaries that two characters tell; what is left uncertain, or too long,
    is split one distinct part at a time.
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
    places = numpy.flatnonzero(~settled)
    split = [
        (piece, count)
        for start, end, count in zip(
            starts[places].tolist(), starts[places + 1].tolist(), found.counts[places].tolist(), strict=True
        )
        for piece in _split(data[start:end], pattern, window)
    ]
    pieces = [found.pieces.filter(pyarrow.array(settled)), pyarrow.array([p for p, _ in split], pyarrow.large_binary())]
    counts = [found.counts[settled], numpy.array([count for _, count in split], numpy.int64)]
    return Counts(pyarrow.concat_arrays(pieces), numpy.concatenate(counts))


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


@lru_cache(1 << 16)  # a few parts make up most of what is uncertain
def _split(part: bytes, pattern: str, window: int) -> list[bytes]:
    return [short for piece in split_text(part.decode(), pattern) for short in cut(piece.encode(), window)]
