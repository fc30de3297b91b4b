"""Encoding a batch of texts in several processes."""

from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor

Encode = Callable[[str | bytes], list[int]]

_GROUP_CHARACTERS = 1 << 18  # large enough to hide the cost of sending, small enough to share out evenly
_encode: Encode


def encode_in_processes(encode: Encode, texts: list[str | bytes], workers: int) -> list[list[int]]:
    """`[encode(text) for text in texts]`, shared out over `workers` processes. `encode` must be picklable."""
    results: list[list[int]] = []
    with ProcessPoolExecutor(workers, initializer=_start, initargs=(encode,)) as pool:
        for ids, counts in pool.map(_encode_group, _groups(texts)):
            flat = ids.tolist()
            start = 0
            for count in counts:
                results.append(flat[start : start + count])
                start += count
    return results


def _groups(texts: list[str | bytes]) -> Iterator[list[str | bytes]]:
    group: list[str | bytes] = []
    size = 0
    for text in texts:
        group.append(text)
        size += len(text)
        if size >= _GROUP_CHARACTERS:
            yield group
            group, size = [], 0
    if group:
        yield group


def _start(encode: Encode) -> None:
    global _encode
    _encode = encode


def _encode_group(texts: list[str | bytes]) -> "tuple[array[int], list[int]]":
    """The ids of all texts end to end, and how many each has. (An array travels much faster than a list.)"""
    ids = array("I")
    counts = []
    for text in texts:
        encoded = _encode(text)
        ids.extend(encoded)
        counts.append(len(encoded))
    return ids, counts
