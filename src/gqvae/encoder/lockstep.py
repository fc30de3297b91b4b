"""`gqvae.encoder.automaton` for many byte strings at once, with numpy: the n-th byte of all of them, then the next.

The same candidates in the same order and the same sums of float64, so the same ids; a test compares the two.

Shapes: S states, V tokens, N byte strings, L bytes of the longest of them.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gqvae.encoder.automaton import Ending, State
from gqvae.encoder.packed import WIDTH, slices

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Numbers = NDArray[numpy.int64]

_CELLS = 1 << 18  # bytes at once: they need 36 each in all, and more of them would be no faster
_NONE = -1


class Lockstep:
    """The tables of an automaton, to segment byte strings.

    Args:
        states: all of it, 2^16 at most, the root first and shorter ones before longer ones.
    """

    def __init__(self, states: Sequence[State]) -> None:
        import numpy

        self._next = _transitions(states).ravel()  # (S * 256,)
        self._longest = numpy.array([_NONE, *(state.ending[2] for state in states[1:])])  # (S,) the longest token there
        tokens: dict[int, tuple[Ending, int]] = {
            state.ending[2]: (state.ending, state.others[0][2] if state.others else _NONE) for state in states[1:]
        }
        endings, shorter = zip(*map(tokens.__getitem__, range(len(tokens))), strict=True)
        starts, scores, _ = zip(*endings, strict=True)
        self._starts = numpy.array(starts)  # (V,) where a token begins, from its end; negative
        self._scores = numpy.array(scores)  # (V,)
        self._shorter = numpy.array(shorter)  # (V,) the next shorter token that ends where this one does, or _NONE

    def packed(self, pieces: Sequence[bytes]) -> list[bytes]:
        """The ids of the best segmentation of each piece."""
        import numpy

        found = [b""] * len(pieces)
        lengths = numpy.array(list(map(len, pieces)))
        order = numpy.argsort(-lengths, kind="stable")
        start = 0
        while start < len(order) and (longest := int(lengths[order[start]])):
            group = order[start : start + max(1, _CELLS // longest)]
            start += len(group)
            indices = group.tolist()
            ids = self._segment(list(map(pieces.__getitem__, indices)), lengths[group])
            for index, ids_of_piece in zip(indices, ids, strict=True):
                found[index] = ids_of_piece
        return found

    def _segment(self, pieces: Sequence[bytes], lengths: "Numbers") -> list[bytes]:
        """The ids of pieces that come longest first."""
        return self._trace(lengths, self._last(pieces, lengths))

    def _last(self, pieces: Sequence[bytes], lengths: "Numbers") -> "Numbers":
        """(L, N): the last token of the best path to the end of each byte."""
        import numpy

        size, longest = len(pieces), int(lengths[0])
        padded = b"".join(piece.ljust(longest) for piece in pieces)
        data = numpy.frombuffer(padded, numpy.uint8).reshape(size, longest).T.astype(numpy.int64, order="C")
        places = numpy.arange((longest + 1) * size).reshape(longest + 1, size)
        best = numpy.zeros((longest + 1) * size)  # at `places`
        last = numpy.empty((longest, size), numpy.int64)
        back = self._starts * size
        states: NDArray[Any] = numpy.zeros(size, numpy.int64)
        for step, active in enumerate(_longer(lengths)):
            states = self._next.take(states[:active] * 256 + data[step, :active]).astype(numpy.int64)
            here, token = places[step + 1, :active], self._longest.take(states)
            top = self._scores.take(token) + best.take(here + back.take(token))
            self._improve(token, top, here, best, back)
            best[here[0] : here[0] + active] = top
            last[step, :active] = token
        return last

    def _improve(self, token: Any, top: Any, here: Any, best: Any, back: Any) -> None:
        """Put the shorter tokens in the place of the longest, in `token` and `top`, where they are better."""
        shorter = self._shorter.take(token)
        rest = (shorter != _NONE).nonzero()[0]
        shorter = shorter.take(rest)
        while rest.size:
            total = self._scores.take(shorter) + best.take(here.take(rest) + back.take(shorter))
            better = (total > top.take(rest)).nonzero()[0]
            improved = rest.take(better)
            top[improved], token[improved] = total.take(better), shorter.take(better)
            shorter = self._shorter.take(shorter)
            more = (shorter != _NONE).nonzero()[0]
            rest, shorter = rest.take(more), shorter.take(more)

    def _trace(self, lengths: "Numbers", last: "Numbers") -> list[bytes]:
        """The ids of the best paths, followed from their ends."""
        import numpy

        longest, size = last.shape
        ids = numpy.empty((size, longest), numpy.uintc)  # of each piece at the end of its row
        ends, places, step = lengths.copy(), numpy.arange(size), longest
        counts = numpy.zeros(size, numpy.int64)
        while (places := places[ends[places] > 0]).size:
            step -= 1
            token = last[ends[places] - 1, places]
            ids[places, step] = token
            counts[places] += 1
            ends[places] += self._starts.take(token)
        packed = ids[numpy.arange(longest) >= longest - counts[:, None]].tobytes()
        return slices(packed, (WIDTH * counts.cumsum()).tolist())


def _transitions(states: Sequence[State]) -> "NDArray[numpy.uint16]":
    """(S, 256): the state after each byte: what a state says, or else as after the shorter one."""
    import numpy

    number = {id(state): index for index, state in enumerate(states)}
    shorter = numpy.array([0, *(number[id(state.shorter)] for state in states[1:])])
    # a copy of each at once, as another thread may have the automaton remember more steps meanwhile
    steps = [state.copy() for state in states]
    known = numpy.array([index << 8 | byte for index, next_ in enumerate(steps) for byte in next_])
    following = numpy.array([number[id(state)] for next_ in steps for state in next_.values()])
    table = numpy.zeros((len(states), 256), numpy.uint16)
    first, after = 0, 1
    while first < len(states):  # states whose shorter ones are all done
        table[first:after] = table[shorter[first:after]]
        begin, end = numpy.searchsorted(known, (first << 8, after << 8))
        table.reshape(-1)[known[begin:end]] = following[begin:end]
        waiting = numpy.flatnonzero(shorter[after:] >= after)
        first, after = after, after + int(waiting[0]) if waiting.size else len(states)
    return table


def _longer(lengths: "Numbers") -> Iterator[int]:
    """For each byte up to the longest, how many pieces have one; `lengths` fall."""
    import numpy

    steps = numpy.arange(int(lengths[0]))
    yield from (len(lengths) - numpy.searchsorted(lengths[::-1], steps, side="right")).tolist()
