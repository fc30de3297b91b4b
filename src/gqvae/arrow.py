"""Arrow's arrays from bytes and numpy, and back.

By their buffers: `pyarrow.array` and `to_numpy` would import pandas where it is installed, which takes longer than
to encode or count a few megabytes.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy
    import pyarrow
    from numpy.typing import NDArray


def strings(data: bytes, starts: "NDArray[numpy.int64]") -> "pyarrow.LargeBinaryArray":
    """What begins in `data` at each of `starts`, up to the next."""
    import numpy
    import pyarrow

    buffers = [None, pyarrow.py_buffer(numpy.append(starts, len(data))), pyarrow.py_buffer(data)]
    return pyarrow.Array.from_buffers(pyarrow.large_binary(), len(starts), buffers)


def column(values: list[bytes]) -> "pyarrow.LargeBinaryArray":
    import numpy

    ends = numpy.array([0, *map(len, values)], numpy.int64).cumsum()
    return strings(b"".join(values), ends[:-1])


def integers(values: "NDArray[numpy.int64]") -> "pyarrow.Int64Array":
    import pyarrow

    return pyarrow.Array.from_buffers(pyarrow.int64(), len(values), [None, pyarrow.py_buffer(values)])


def numbers(values: "pyarrow.Array | pyarrow.ChunkedArray") -> "NDArray[Any]":
    """A column of signed integers without nulls, as an array of numpy."""
    import numpy
    import pyarrow

    whole = values.combine_chunks() if isinstance(values, pyarrow.ChunkedArray) else values
    width = whole.type.bit_width // 8
    return numpy.frombuffer(whole.buffers()[1], f"i{width}", len(whole), whole.offset * width)


def filtered(values: "pyarrow.LargeBinaryArray", mask: "NDArray[numpy.bool_]") -> "pyarrow.LargeBinaryArray":
    """Those of the values for which the mask is true."""
    import numpy

    return values.take(integers(numpy.flatnonzero(mask)))
