"""Settings in frozen dataclasses: read from JSON or `section.key=value` strings, checked; unknown keys are refused."""

import dataclasses
import math
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self

from gqvae.errors import GqvaeError


class Settings:
    """Base of a dataclass whose fields are plain values, tuples of them, or further dataclasses (sections)."""

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(typing.cast(Any, self))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild a config from `to_dict` (or from JSON). Raises GqvaeError on unknown keys and wrong types."""
        return typing.cast(Self, build(cls, values, ""))

    def difference(self, other: "Settings") -> str:
        """The first setting in which two configs differ, as `key: this, not that`."""
        ours, theirs = _flat(self.to_dict()), _flat(other.to_dict())
        both = ((key, ours.get(key, "not set"), theirs.get(key, "not set")) for key in ours | theirs)
        return next((f"{key}: {one}, not {another}" for key, one, another in both if one != another), "none")

    def override(self, assignments: Iterable[str]) -> Self:
        """Apply `section.key=value` strings. Raises GqvaeError that lists the valid keys."""
        values = self.to_dict()
        for assignment in assignments:
            path, found, text = assignment.partition("=")
            if not found:
                raise GqvaeError(f"{assignment!r} is not of the form key=value")
            *sections, key = path.strip().split(".")
            target = values
            for section in sections:
                target = target.get(section) if isinstance(target.get(section), dict) else {}  # type: ignore[assignment]
            known = key in target or _is_open(type(self), sections)
            if not known or isinstance(target.get(key), dict):
                raise GqvaeError(f"unknown setting {path!r}; there are: {', '.join(_flat(self.to_dict()))}")
            target[key] = text.strip()
        return self.from_dict(values)


def build(cls: type, values: Any, prefix: str = "") -> Any:
    """The dataclass `cls` from a table of its fields. Raises GqvaeError on unknown keys and wrong types, which `prefix`
    names in full."""
    if not isinstance(values, Mapping):
        raise GqvaeError(f"{prefix or 'the config'} must be a table of keys, not {type(values).__name__}")
    hints = typing.get_type_hints(cls)
    names = [item.name for item in dataclasses.fields(cls)]
    unknown = sorted(set(values) - set(names))
    if unknown:
        raise GqvaeError(f"unknown key {prefix}{unknown[0]}; there are: {', '.join(names) or 'none'}")
    converted = {name: _convert(hints[name], value, f"{prefix}{name}") for name, value in values.items()}
    try:
        return cls(**converted)
    except GqvaeError as error:  # a section knows its own keys, not where it stands
        raise GqvaeError(f"{prefix}{error}") from error


def _convert(hint: Any, value: Any, name: str) -> Any:
    """Bring a JSON value or a command-line string to the type a field declares."""
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(type, hint), value, f"{name}.")
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    try:
        if origin is types.UnionType:
            inner = next(a for a in arguments if a is not type(None))
            return None if value is None or value == "none" else _convert(inner, value, name)
        if origin is dict:
            return {str(key): _as_text(part) for key, part in dict(value).items()}
        if origin is tuple:
            parts = [part for part in value.split(",") if part] if isinstance(value, str) else list(value)
            if arguments[-1] is Ellipsis:  # any number of one type
                arguments = arguments[:1] * len(parts)
            if len(parts) != len(arguments):
                raise ValueError(f"needs {len(arguments)} values")
            return tuple(_convert(a, part, name) for a, part in zip(arguments, parts, strict=True))
        if origin is Literal:
            return value  # the dataclass itself checks and lists the choices
        if hint is bool:
            if value not in ("true", "false", True, False):
                raise ValueError("needs true or false")
            return value in ("true", True)
        if hint is str:
            if not isinstance(value, str):
                raise ValueError("needs text")
            return value
        if hint is int and isinstance(value, float) and not value.is_integer():
            raise ValueError("needs a whole number")
        if hint is float and not math.isfinite(float(value)):
            raise ValueError("needs a finite number")
        return hint(value)
    except GqvaeError:  # of a part, which it names
        raise
    except (ValueError, TypeError, OverflowError) as error:
        raise GqvaeError(f"{name}: {repr(value)[:100]} is not valid ({error})") from error


def _as_text(value: Any) -> str:
    """A JSON value as the command line would spell it."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(_as_text, value)) if isinstance(value, list | tuple) else str(value)


def _is_open(cls: Any, sections: Iterable[str]) -> bool:
    """Whether a section is a table of text whose keys somebody else knows: a field of type dict[str, str]."""
    for section in sections:
        cls = typing.get_type_hints(cls).get(section) if dataclasses.is_dataclass(cls) else None
    return typing.get_origin(cls) is dict


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one table of dotted keys."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def positive(config: Any, *names: str) -> None:
    for name in names:
        if getattr(config, name) <= 0:
            raise GqvaeError(f"{name} must be positive, not {getattr(config, name)}")


def not_negative(config: Any, *names: str) -> None:
    for name in names:
        if getattr(config, name) < 0:
            raise GqvaeError(f"{name} must not be negative, but is {getattr(config, name)}")


def different(config: Any, *names: str) -> None:
    for name in names:
        if len(set(getattr(config, name))) < len(getattr(config, name)):
            raise GqvaeError(f"{name} must be different from each other, not {getattr(config, name)}")


def at_most(config: Any, limit: int, *names: str) -> None:
    """Bounds far above any use: a forged file must not make us allocate what it names, or count to it."""
    for name in names:
        if (getattr(config, name) or 0) > limit:
            raise GqvaeError(f"{name} must be at most {limit}, not {getattr(config, name)}")


def share(config: Any, *names: str) -> None:
    for name in names:
        if not 0 <= getattr(config, name) <= 1:
            raise GqvaeError(f"{name} must lie between 0 and 1, not {getattr(config, name)}")


def one_of(config: Any, name: str, choices: tuple[str, ...]) -> None:
    if getattr(config, name) not in choices:
        raise GqvaeError(f"{name} must be one of {', '.join(choices)}, not {getattr(config, name)!r}")
