"""`gqvae.json`: a tokenizer as one self-contained, readable, deterministic file.

A token or sample that is valid UTF-8 is a JSON string; any other byte string is `{"base64": "..."}`. The
field `sha256` is over the rest of the content in canonical form (sorted keys, no spaces, ASCII), so it
survives re-indenting but no change of content. Nothing in the file is code, and nothing in it is believed
unchecked: sizes are capped before they are used, and the pattern must be one this package knows.
"""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gqvae.errors import GqvaeError
from gqvae.files import digest, read_bounded, replacing
from gqvae.patterns import PATTERNS
from gqvae.vocabulary import BYTES, MAX_IDS, Vocabulary

FILE_NAME = "gqvae.json"
MAX_SAMPLES = 1000
_FORMAT = "gqvae-tokenizer"
_VERSION = 1
_KEYS = {
    "format",
    "version",
    "name",
    "pattern",
    "specials",
    "byte_scores",
    "learned",
    "provenance",
    "self_test",
    "sha256",
}

Sample = tuple[bytes, list[int]]


@dataclass(frozen=True)
class Content:
    """What the file says: the arguments of a `Tokenizer`, and samples with the ids they must encode to."""

    vocabulary: Vocabulary
    scores: list[float]
    pattern: str
    name: str
    provenance: dict[str, Any]
    self_test: list[Sample]
    sha256: str = ""


def write(folder: Path, content: Content) -> Path:
    """Write `content` (its sha256 is computed here) to `folder/gqvae.json`, atomically; returns the path."""
    document = _document(content)
    path = folder / FILE_NAME
    with replacing(path) as temporary:
        temporary.write_text(_layout(document), encoding="utf-8")
    return path


def sha256(content: Content) -> str:
    """The field `sha256` of the file that `write` makes of `content`."""
    found: str = _document(content)["sha256"]
    return found


def read(path: Path) -> Content:
    """Read and check the file `path`.

    Raises:
        GqvaeError: the file cannot be read, is too large, is not this format, fails its hash, or holds a
            value out of range; the message names the file and the key.
    """
    document = _parse(path)
    try:
        return _content(document)
    except (GqvaeError, RecursionError) as error:
        raise GqvaeError(f"{path}: {error}") from error


def _document(content: Content) -> dict[str, Any]:
    vocabulary, scores = content.vocabulary, content.scores
    learned = zip(vocabulary.learned, scores[BYTES:], strict=True)
    document: dict[str, Any] = {
        "format": _FORMAT,
        "version": _VERSION,
        "name": content.name,
        "pattern": {"name": content.pattern, "regex": PATTERNS[content.pattern]},
        "specials": list(vocabulary.specials),
        "byte_scores": scores[:BYTES],
        "learned": [[_to_json(token), score] for token, score in learned],
        "provenance": content.provenance,
        "self_test": [[_to_json(sample), ids] for sample, ids in content.self_test],
    }
    return document | {"sha256": _digest(document)}


def _parse(path: Path) -> Any:
    raw = read_bounded(path)
    try:
        return json.loads(raw.decode("utf-8"), parse_constant=_refuse, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise GqvaeError(f"{path} is not a tokenizer file: {error}") from error


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not a number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("an object has the same key twice")
    return result


def _content(document: Any) -> Content:
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise GqvaeError(f'not a gqvae tokenizer (no "format": "{_FORMAT}")')
    if document.get("version") != _VERSION:
        raise GqvaeError(f"format version {document.get('version')!r}; this gqvae reads version {_VERSION}")
    if set(document) != _KEYS:
        raise GqvaeError(f"keys missing or unknown: {', '.join(sorted(set(document) ^ _KEYS))}")
    if _digest(document) != document["sha256"]:
        raise GqvaeError("sha256 does not match the content: the file was changed or damaged")
    learned = _list(document, "learned", MAX_IDS)
    pairs = [_pair(entry, "learned") for entry in learned]
    specials = tuple(_list(document, "specials", MAX_IDS))
    byte_scores = _list(document, "byte_scores", BYTES)
    samples = [_pair(entry, "self_test") for entry in _list(document, "self_test", MAX_SAMPLES)]
    if not samples:
        raise GqvaeError("self_test is empty")
    return Content(
        vocabulary=Vocabulary(tuple(_from_json(token, "learned") for token, _ in pairs), specials),
        scores=[_number(score) for score in byte_scores + [score for _, score in pairs]],
        pattern=_pattern(document["pattern"]),
        name=document["name"],
        provenance=document["provenance"],
        self_test=[(_from_json(sample, "self_test"), _ids(ids)) for sample, ids in samples],
        sha256=document["sha256"],
    )


def _pattern(value: Any) -> str:
    if not isinstance(value, dict) or set(value) != {"name", "regex"}:
        raise GqvaeError("pattern must have a name and a regex")
    name = value["name"]
    if not isinstance(name, str) or name not in PATTERNS:
        raise GqvaeError(f"pattern {name!r} is unknown; this gqvae has {', '.join(PATTERNS)}")
    if PATTERNS[name] != value["regex"]:
        raise GqvaeError(f"pattern {name!r} has another regex than this gqvae's: use the gqvae that wrote it")
    return name


def _list(document: dict[str, Any], key: str, most: int) -> list[Any]:
    value = document[key]
    if not isinstance(value, list) or len(value) > most:
        raise GqvaeError(f"{key} must be a list of at most {most} entries")
    return value


def _pair(entry: Any, key: str) -> tuple[Any, Any]:
    if not isinstance(entry, list) or len(entry) != 2:
        raise GqvaeError(f"{key} must hold pairs, not {str(entry)[:60]}")
    return entry[0], entry[1]


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise GqvaeError(f"a score must be a number, not {str(value)[:60]}")
    try:
        return float(value)
    except OverflowError as error:
        raise GqvaeError("a score is out of range") from error


def _ids(value: Any) -> list[int]:
    if not isinstance(value, list) or not all(type(index) is int for index in value):
        raise GqvaeError("self_test must hold lists of ids")
    return value


def _to_json(data: bytes) -> str | dict[str, str]:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}


def _from_json(value: Any, key: str) -> bytes:
    try:
        if isinstance(value, str):
            return value.encode("utf-8")
        if isinstance(value, dict) and set(value) == {"base64"}:
            data = base64.b64decode(value["base64"].encode("ascii"), validate=True)
            if _to_json(data) == value:  # valid UTF-8 is never base64: each string has one spelling
                return data
    except (ValueError, AttributeError):
        pass
    raise GqvaeError(f"{key} holds {str(value)[:60]!r}, which is neither text nor base64 of bytes")


def _digest(document: dict[str, Any]) -> str:
    return digest({key: value for key, value in document.items() if key != "sha256"})


def _layout(document: dict[str, Any]) -> str:
    """The document as JSON with one line a token and a sample, so that people and `diff` can read it."""

    def line(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False)

    fields = []
    for key, value in document.items():
        if key in ("learned", "self_test") and value:
            rows = ",\n    ".join(line(row) for row in value)
            fields.append(f"  {line(key)}: [\n    {rows}\n  ]")
        else:
            fields.append(f"  {line(key)}: {line(value)}")
    return "{\n" + ",\n".join(fields) + "\n}\n"
