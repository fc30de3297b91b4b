"""A bounded memory of a pure function of short strings."""

from collections.abc import Callable

MEMO_ENTRIES = 1 << 17  # at about 200 bytes an entry: some 25 MB for each memo
MEMO_KEY = 64  # longer strings seldom come twice


class Memo(dict[str, tuple[int, ...]]):
    """A bounded memo of `compute`; emptied when full, which costs little as common keys return at once."""

    def __init__(self, compute: Callable[[str], tuple[int, ...]]) -> None:
        self.compute: Callable[[str], tuple[int, ...]] = compute

    def __missing__(self, key: str) -> tuple[int, ...]:
        value = self.compute(key)
        if len(key) <= MEMO_KEY:
            if len(self) >= MEMO_ENTRIES:
                self.clear()
            self[key] = value
        return value
