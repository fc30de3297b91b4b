"""The segmentation of a byte string into tokens whose scores have the largest sum.

The recurrence, over byte positions j, with S(i, j) the score of the token data[i:j]:

    best[0] = 0;   best[j] = max over i < j of best[i] + S(i, j)

Ties and rounding follow the Unigram model of Hugging Face `tokenizers` (`encode_optimized` in its
`models/unigram/model.rs`) exactly, so that an export has the same ids: starts are scanned in rising order,
sums are float64 `S(i, j) + best[i]`, and a candidate wins only if it is strictly better than those before
it. On a tie the longest last token therefore wins.
"""

from collections.abc import Mapping, Sequence
from typing import Any

# A trie node is [score, children]: None where no token ends and where no longer token follows.
Children = dict[int, list[Any]]

_BLOCK = 1 << 16  # bytes scored at once: beyond a block only one byte a byte, the back-pointer, is kept
_UNREACHED = float("-inf")


def build_trie(tokens: Sequence[bytes], scores: Sequence[float]) -> Children:
    """The trie of `tokens`, keyed by byte; token i has id i and score `scores[i]`."""
    root: list[Any] = [None, {}]
    for token, score in zip(tokens, scores, strict=True):
        node = root
        for byte in token:
            if node[1] is None:
                node[1] = {}
            node = node[1].setdefault(byte, [None, None])
        node[0] = score
    children: Children = root[1]
    return children


def best_lengths(data: bytes, trie: Children, longest: int) -> list[int]:
    """The byte lengths of the best segmentation of `data`, in order.

    Every single byte must be a token of `trie`; `longest` is its longest token in bytes, at most 255.
    Time is at most proportional to `len(data) * longest`.
    """
    size = len(data)
    best = [0.0]  # best[i]: the score of the best path to position start + i
    back = bytearray(1)  # back[i]: the length of the last token of that path
    lengths_to = bytearray()  # back, of all positions that no later block can reach
    for start in range(0, size, _BLOCK):
        window = data[start : start + _BLOCK + longest]
        count = min(_BLOCK, size - start)
        new = len(window) + 1 - len(best)
        best += [_UNREACHED] * new
        back += bytes(new)
        _extend_paths(window, count, trie, longest, best, back)
        lengths_to += back[:count]
        del best[:count], back[:count]
    lengths_to += back
    lengths = []
    end = size
    while end:
        length = lengths_to[end]
        lengths.append(length)
        end -= length
    lengths.reverse()
    return lengths


def best_ids(data: bytes, trie: Children, longest: int, id_of: Mapping[bytes, int]) -> tuple[int, ...]:
    """The ids of the best segmentation of `data`."""
    ids, start = [], 0
    for length in best_lengths(data, trie, longest):
        ids.append(id_of[data[start : start + length]])
        start += length
    return tuple(ids)


def _extend_paths(window: bytes, count: int, trie: Children, longest: int, best: list[float], back: bytearray) -> None:
    """Extend the best paths by every token that begins at one of the first `count` bytes of `window`."""
    for begin in range(count):
        so_far = best[begin]
        children = trie
        end = begin
        for byte in window[begin : begin + longest]:
            node = children.get(byte)
            if node is None:
                break
            end += 1
            score, children = node
            if score is not None:
                total = score + so_far
                if total > best[end]:
                    best[end] = total
                    back[end] = end - begin
            if children is None:
                break
