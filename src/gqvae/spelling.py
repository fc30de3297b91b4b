"""The fewest vocabulary strings that spell a byte string: fallback, and what each string is worth."""

from collections.abc import Collection


def spell(text: str, strings: Collection[str], longest: int, without: str | None = None) -> list[str]:
    """Spell `text` with the fewest of `strings`; any single byte may be used. Ties go to the longer last string.

    Args:
        strings: a set or dict; none longer than `longest` bytes is looked for.
        without: one of them not to use.

    >>> spell("showed", {"sho", "how", "wed", "ed"}, longest=3)
    ['sho', 'wed']
    """
    fewest, lengths = [0], [0]
    for end in range(1, len(text) + 1):
        best, length = fewest[end - 1] + 1, 1
        for size in range(2, min(longest, end) + 1):
            string = text[end - size : end]
            if fewest[end - size] + 1 <= best and string in strings and string != without:
                best, length = fewest[end - size] + 1, size
        fewest.append(best)
        lengths.append(length)
    spelled, end = [], len(text)
    while end:
        spelled.append(text[end - lengths[end] : end])
        end -= lengths[end]
    return spelled[::-1]


def worth(string: str, strings: Collection[str], longest: int) -> int:
    """Tokens more that one use of `string` would cost if it were not among `strings`.

    >>> worth("showed", {"showed", "sho", "wed"}, longest=6)
    1
    """
    return len(spell(string, strings, longest, without=string)) - 1
