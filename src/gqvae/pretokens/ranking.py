"""The order of a table of counts."""

from typing import TYPE_CHECKING

from gqvae.arrow import integers, numbers
from gqvae.pretokens.pieces import Counts

if TYPE_CHECKING:
    import numpy
    import pyarrow
    from numpy.typing import NDArray

_MOST = (1 << 16) - 1  # numbers of 16 bits are sorted without comparing them
_BYTES = 8


def ranking(found: Counts) -> "NDArray[numpy.int64]":
    """The order of most frequent first, equally frequent ones by their bytes.

    Arrow's, some twenty times as fast with a million strings: it compares strings, this sorts numbers, a count and the
    first eight bytes. Arrow sorts those with the same numbers, and counts that do not fit into 16 bits.
    """
    import numpy

    if not len(found.counts):
        return numpy.empty(0, numpy.int64)
    begin, rarity = _first_bytes(found.pieces), (_MOST - numpy.minimum(found.counts, _MOST)).astype(numpy.uint16)
    order = begin.argsort()
    order = order[rarity[order].argsort(kind="stable")]
    begin, rarity = begin[order], rarity[order]
    same = (rarity[1:] == rarity[:-1]) & ((begin[1:] == begin[:-1]) | (rarity[1:] == 0))
    tied = numpy.flatnonzero(numpy.append(same, False) | numpy.append(False, same))
    order[tied] = _sorted(found, order[tied])
    return order


def _first_bytes(pieces: "pyarrow.LargeBinaryArray") -> "NDArray[numpy.uint64]":
    """The first eight bytes of each piece as a number; shorter pieces are padded with zeros."""
    import numpy

    _, offsets, values = pieces.buffers()
    bounds = numpy.frombuffer(offsets, numpy.int64, len(pieces) + 1)
    data = numpy.append(numpy.frombuffer(values, numpy.uint8, bounds[-1]), numpy.zeros(_BYTES, numpy.uint8))
    stretches = numpy.lib.stride_tricks.sliding_window_view(data, _BYTES)[bounds[:-1]]
    whole = stretches.view(">u8")[:, 0].astype(numpy.uint64)
    beyond = 8 * (_BYTES - numpy.minimum(numpy.diff(bounds), _BYTES)).astype(numpy.uint64)
    return whole >> beyond << beyond


def _sorted(found: Counts, places: "NDArray[numpy.int64]") -> "NDArray[numpy.int64]":
    import pyarrow.compute

    rows = pyarrow.table({"piece": found.pieces.take(integers(places)), "count": integers(found.counts[places])})
    keys = [("count", "descending"), ("piece", "ascending")]
    order: NDArray[numpy.int64] = places[numbers(pyarrow.compute.sort_indices(rows, sort_keys=keys))]
    return order
