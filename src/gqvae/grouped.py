"""Texts in groups, to be worked on at once."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

_Text = TypeVar("_Text", bound=str | bytes)


def groups(texts: Iterable[_Text], size: int) -> Iterator[list[_Text]]:
    """Texts that follow each other, until they have `size` characters together."""
    group: list[_Text] = []
    found = 0
    for text in texts:
        group.append(text)
        found += len(text)
        if found >= size:
            yield group
            group, found = [], 0
    if group:
        yield group
