"""The segmentation of `gqvae.encoder.viterbi`, found by reading each byte once.

That looks, at every byte, for the tokens that begin there. Here an automaton knows the tokens that *end* there (Aho and
Corasick 1975, "Efficient string matching: an aid to bibliographic search"): its state is the longest suffix of the
bytes so far that some token begins with. The candidates for best[j] are the same, in the same order, the longest token
first, and so are the sums: the ids are equal, ties and rounding included. A test compares the two.
"""

from array import array
from collections.abc import Sequence
from operator import itemgetter

_BLOCK = 1 << 16  # bytes scored at once: a long piece takes little more memory than an id a byte
_REMEMBERED = 64  # steps a state remembers: so the memory is bounded by the vocabulary

# A token that ends at some place: where it begins, relative to there (negative), its score, its id.
Ending = tuple[int, float, int]


class State(dict[int, "State"]):
    """Where the automaton is; maps the next byte to where it is then.

    shorter: the state of the longest proper suffix. ending: the longest token that ends here, a single byte at least.
    others: the shorter tokens that end here, the longest first.
    """

    __slots__ = ("ending", "others", "shorter")
    shorter: "State"
    ending: Ending
    others: tuple[Ending, ...]

    def __missing__(self, byte: int) -> "State":
        """No token goes on like this: what the next shorter suffix does."""
        found = self.shorter[byte]
        if len(self) < _REMEMBERED:
            self[byte] = found
        return found


class Automaton:
    """Segments byte strings into tokens whose scores have the largest sum.

    Args:
        tokens: all 256 single bytes among them; token i has id i.
        scores: of each token.

    >>> tokens = [*(bytes([byte]) for byte in range(256)), b"ab", b"bc"]
    >>> Automaton(tokens, [-9.0] * 256 + [-1.0, -2.0]).ids(b"abc")
    [256, 99]
    """

    def __init__(self, tokens: Sequence[bytes], scores: Sequence[float]) -> None:
        self._lengths = list(map(len, tokens))
        self._longest = max(self._lengths)
        self.states = _build(tokens, scores)

    def ids(self, data: bytes) -> Sequence[int]:
        """The ids of the best segmentation of `data`."""
        if len(data) > _BLOCK:
            return self._ids_in_blocks(data)
        endings: list[Ending] = []
        _extend(data, self.states[0], [0.0], endings)
        ids = []
        end = len(data) - 1
        while end >= 0:
            start, _, id_ = endings[end]
            ids.append(id_)
            end += start
        ids.reverse()
        return ids

    def _ids_in_blocks(self, data: bytes) -> Sequence[int]:
        state, best, last = self.states[0], [0.0], array("I")  # last[i]: the last token of the best path to i + 1
        for start in range(0, len(data), _BLOCK):
            endings: list[Ending] = []
            state = _extend(data[start : start + _BLOCK], state, best, endings)
            last.extend(map(itemgetter(2), endings))
            del best[: -self._longest]  # no token looks back further
        ids = array("I")
        end = len(data) - 1
        while end >= 0:
            ids.append(last[end])
            end -= self._lengths[last[end]]
        ids.reverse()
        return ids


def _extend(data: bytes, state: State, best: list[float], endings: list[Ending]) -> State:
    """Append for every byte the score of the best path to its end, and the last token of that path."""
    append_best, append_ending = best.append, endings.append
    for byte in data:
        state = state[byte]
        ending = state.ending
        start, score, _ = ending
        top = score + best[start]
        for other in state.others:
            start, score, _ = other
            total = score + best[start]
            if total > top:
                top, ending = total, other
        append_best(top)
        append_ending(ending)
    return state


def _build(tokens: Sequence[bytes], scores: Sequence[float]) -> list[State]:
    """All states, the root first and shorter ones before longer ones."""
    root = State()
    token_of: dict[int, Ending] = {}
    for id_, (token, score) in enumerate(zip(tokens, scores, strict=True)):
        state = root
        for byte in token:
            if byte not in state:
                state[byte] = State()
            state = state[byte]
        token_of[id(state)] = -len(token), score, id_
    states = [root]
    for parent in states:
        for byte, state in parent.items():  # no state of this length has remembered a step yet
            state.shorter = root if parent is root else parent.shorter[byte]
            own = token_of.get(id(state))
            endings: tuple[Ending, ...] = (own,) if own else ()
            if state.shorter is not root:
                endings += (state.shorter.ending, *state.shorter.others)
            state.ending, state.others = endings[0], endings[1:]
            states.append(state)
    return states
