"""`gqvae.automaton` for many byte strings at once, with numpy: the n-th byte of all of them, then the next.

The same candidates in the same order and the same sums of float64, so the same ids; a test compares the two.

Shapes: S states, E endings (tokens that end at a state, end to end, the longest first), N byte strings, L bytes of the
longest of them.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any

from gqvae.automaton import State

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

_GROUP = 1 << 12  # strings at once: what they need should fit into a processor's cache


class Lockstep:
    """The tables of an automaton, to segment byte strings.

    Args:
        states: all of it, the root first and shorter ones before longer ones.
    """

    def __init__(self, states: Sequence[State]) -> None:
        import numpy

        number = {id(state): index for index, state in enumerate(states)}
        shorter = numpy.array([0, *(number[id(state.shorter)] for state in states[1:])])
        steps = [
            (index, byte, number[id(next_)]) for index, state in enumerate(states) for byte, next_ in state.items()
        ]
        self._next = _transitions(shorter, numpy.array(steps))  # (S, 256)
        counts = numpy.array([0, *(1 + len(state.others) for state in states[1:])])
        self._count = counts  # (S,) how many endings a state has
        self._first = counts.cumsum() - counts  # (S,) where they begin
        endings = chain.from_iterable((state.ending, *state.others) for state in states[1:])
        table = numpy.fromiter(endings, [("start", numpy.int64), ("score", numpy.float64), ("id", numpy.int64)])
        self._starts = table["start"].copy()  # (E,) negative
        self._scores = table["score"].copy()  # (E,)
        self._ids = table["id"].copy()  # (E,)

    def ids(self, pieces: Sequence[bytes]) -> list[tuple[int, ...]]:
        """The ids of the best segmentation of each piece."""
        import numpy

        found: list[tuple[int, ...]] = [()] * len(pieces)
        lengths = numpy.array(list(map(len, pieces)))
        order = numpy.argsort(-lengths, kind="stable")
        for start in range(0, len(order), _GROUP):
            group = order[start : start + _GROUP]
            indices = group.tolist()
            ids = self._segment(list(map(pieces.__getitem__, indices)), lengths[group])
            for index, ids_of_piece in zip(indices, ids, strict=True):
                found[index] = ids_of_piece
        return found

    def _segment(self, pieces: Sequence[bytes], lengths: "NDArray[Any]") -> Iterator[tuple[int, ...]]:
        """The ids of pieces that come longest first."""
        return self._trace(lengths, self._endings(pieces, lengths))

    def _endings(self, pieces: Sequence[bytes], lengths: "NDArray[Any]") -> "NDArray[numpy.int64]":
        """(L, N): the last token, as an index into endings, of the best path to the end of each byte."""
        import numpy

        size, longest = len(pieces), int(lengths[0])
        padded = b"".join(piece.ljust(longest) for piece in pieces)
        data = numpy.frombuffer(padded, numpy.uint8).reshape(size, longest).T.astype(numpy.int64, order="C")
        best = numpy.zeros((longest + 1) * size)  # (L + 1, N), flat
        last = numpy.empty((longest, size), numpy.int64)
        places = numpy.arange(size)
        states: NDArray[Any] = numpy.zeros(size, numpy.int64)
        for step, active in enumerate(_longer(lengths)):
            states = self._next.ravel().take(states[:active] * 256 + data[step, :active])
            here = places[:active] + (step + 1) * size
            ending = self._first.take(states)
            top = self._scores.take(ending) + best.take(here + self._starts.take(ending) * size)
            self._improve(ending, top, self._count.take(states), here, best, size)
            best[here[0] : here[0] + active] = top
            last[step, :active] = ending
        return last

    def _improve(self, ending: Any, top: Any, count: Any, here: Any, best: Any, size: int) -> None:
        """Put the shorter endings in the place of the longest, in `ending` and `top`, where they are better."""
        first = ending.copy()
        rank = 1
        while (rest := (count > rank).nonzero()[0]).size:
            other = first.take(rest) + rank
            total = self._scores.take(other) + best.take(here.take(rest) + self._starts.take(other) * size)
            better = total > top.take(rest)
            improved = rest[better]
            top[improved], ending[improved] = total[better], other[better]
            rank += 1

    def _trace(self, lengths: "NDArray[Any]", last: "NDArray[numpy.int64]") -> Iterator[tuple[int, ...]]:
        """The ids of the best paths, followed from their ends."""
        import numpy

        longest, size = last.shape
        ids = numpy.empty((size, longest), numpy.int64)  # of each piece at the end of its row
        ends, places, step = lengths.copy(), numpy.arange(size), longest
        counts = numpy.zeros(size, numpy.int64)
        places = places[ends > 0]
        while places.size:
            step -= 1
            endings = last[ends[places] - 1, places]
            ids[places, step] = self._ids.take(endings)
            counts[places] += 1
            ends[places] += self._starts.take(endings)
            places = places[ends[places] > 0]
        flat = tuple(ids[numpy.arange(longest) >= longest - counts[:, None]].tolist())
        yield from (flat[start:end] for start, end in pairwise([0, *counts.cumsum().tolist()]))


def _transitions(shorter: "NDArray[Any]", steps: "NDArray[Any]") -> "NDArray[numpy.int32]":
    """(S, 256): the state after each byte: what `steps` (state, byte, next state) say, or else as after the shorter."""
    import numpy

    table = numpy.zeros((len(shorter), 256), numpy.int32)
    first, after = 0, 1
    while first < len(shorter):  # states whose shorter ones are all done
        table[first:after] = table[shorter[first:after]]
        begin, end = numpy.searchsorted(steps[:, 0], (first, after))
        state, byte, following = steps[begin:end].T
        table[state, byte] = following
        waiting = numpy.flatnonzero(shorter[after:] >= after)
        first, after = after, after + int(waiting[0]) if waiting.size else len(shorter)
    return table


def _longer(lengths: "NDArray[Any]") -> Iterator[int]:
    """For each byte up to the longest, how many pieces have one; `lengths` fall."""
    import numpy

    steps = numpy.arange(int(lengths[0]))
    yield from (len(lengths) - numpy.searchsorted(lengths[::-1], steps, side="right")).tolist()
