"""The segmentation of many byte strings: in lockstep where that is faster and possible, one by one otherwise."""

from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec

from gqvae.encoder.automaton import Automaton
from gqvae.encoder.lockstep import Lockstep
from gqvae.encoder.packed import pack

_FEWEST = 64  # strings that should still have a byte at each common step: with fewer, one by one is faster
_MOST_BYTES = 1 << 10  # of a string in lockstep, as memory is that times the strings
_MOST_STATES = 1 << 16  # for its tables, which number them in 16 bits and take half a KiB for each


class Segmenter:
    """Segments byte strings into tokens whose scores have the largest sum, as `gqvae.encoder.viterbi` does.

    Args:
        tokens: all 256 single bytes among them; token i has id i.
        scores: of each token.
    """

    def __init__(self, tokens: Sequence[bytes], scores: Sequence[float]) -> None:
        self._automaton = Automaton(tokens, scores)

    def segment(self, pieces: list[bytes]) -> list[bytes]:
        """The ids of each piece, packed. Many at once are several times faster where numpy is installed."""
        if len(pieces) < _FEWEST or not self._lockstep:
            return list(map(self._one, pieces))
        longest = min(_MOST_BYTES, sorted(map(len, pieces))[-_FEWEST])
        found = iter(self._lockstep.packed([piece for piece in pieces if len(piece) <= longest]))
        return [next(found) if len(piece) <= longest else self._one(piece) for piece in pieces]

    def _one(self, piece: bytes) -> bytes:
        return pack(self._automaton.ids(piece))

    @cached_property
    def _lockstep(self) -> Lockstep | None:
        if len(self._automaton.states) > _MOST_STATES or not find_spec("numpy"):
            return None
        return Lockstep(self._automaton.states)
