"""From the raw bytes of a fuzzer to inputs: choices, damage to good files, hostile values in JSON."""

import json
from collections.abc import Sequence
from typing import Any, TypeVar

Option = TypeVar("Option")

_DEEP = "(a very deep list)"
# Put in the place of any value of a JSON document.
HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 255, 256, 2**31, 2**63, 2**64, -(2**63), 10**18, 10**400, 0.5, -0.0, 1e6, 1e308,
    float("nan"), float("inf"), -float("inf"), "", " ", "0", "a", "ab", "\0", "\0\0", "\n", "\u2028", "../../x", "/",
    "C:\\x", "\ud800", "ab\udcff", "\U0010ffff", "x" * 300, "x" * 100_000, "<|endoftext|>", "(a+)+b", "__class__", [],
    [[]], [0], ["a"], [None] * 300, [0] * 5000, {}, {"a": 1}, {"base64": "/w=="}, {"base64": "YWI="}, {"base64": 1},
    {"__proto__": {}}, _DEEP,
)  # fmt: skip


class Choices:
    """Decisions read from bytes, so that a fuzzer that changes bytes changes decisions; zeros when they run out."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def below(self, count: int) -> int:
        """A whole number from 0 to `count` - 1."""
        size = 1 if count <= 256 else 2 if count <= 65_536 else 4
        chunk = self._data[self._at : self._at + size]
        self._at += size
        return int.from_bytes(chunk, "big") % count

    def of(self, options: Sequence[Option]) -> Option:
        return options[self.below(len(options))]

    def rest(self) -> bytes:
        return self._data[self._at :]


def damaged(good: bytes, choices: Choices) -> bytes:
    """A good file after one to three accidents."""
    for _ in range(1 + choices.below(3)):
        at, length = choices.below(len(good) + 1), 1 + choices.below(64)
        accident = choices.below(6)
        if accident == 0:
            good = good[:at]
        elif accident == 1:
            good = good[:at] + good[at + length :]
        elif accident == 2:
            good = good[: at + length] + good[at:]
        elif accident == 3:
            good = good[:at] + bytes([choices.below(256)]) * length + good[at + length :]
        elif accident == 4:
            good = good[:at] + choices.rest()[:length] + good[at:]
        elif at < len(good):
            good = good[:at] + bytes([good[at] ^ (1 << choices.below(8))]) + good[at + 1 :]
    return good


def altered(value: Any, choices: Choices) -> Any:
    """A JSON value with one part, chosen by walking down from the top, replaced, removed, repeated or added to."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    if not keys or choices.below(8) == 0:
        return choices.of(HOSTILE)
    value, key = value.copy(), choices.of(keys)
    action = choices.below(12)
    if action == 0:
        del value[key]
    elif action == 1 and isinstance(value, list):
        value.insert(choices.below(len(value) + 1), value[key])
    elif action == 1:
        value[choices.of(("x", "", "\0", "config", "a" * 1000))] = choices.of(HOSTILE)
    elif action == 2 and isinstance(value, list):
        value.append(choices.of(HOSTILE))
    elif action == 2:
        value[key] = value[choices.of(keys)]
    else:
        value[key] = altered(value[key], choices)
    return value


def as_json(value: Any) -> bytes:
    """The value as JSON text, with what only text can hold: NaN, lone surrogates, lists too deep to build."""
    return json.dumps(value).replace(json.dumps(_DEEP), "[" * 50_000 + "]" * 50_000).encode()
