"""Inputs -> documents: files, globs, folders, stdin, remote files and Hugging Face data sets as one stream.

A document is a str whose UTF-8 bytes are those of the file, untouched: line ends, NULs and a byte order mark
stay. Reading never guesses: what cannot be read exactly is an error that names file and line or, when asked
for, a counted skip. `.txt` and `.jsonl`, plain or `.gz`, need only the standard library; all else is imported
on use.
"""

import dataclasses
import glob
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gqvae.corpus.documents import Document, blocks
from gqvae.corpus.readers import STDIN, SUFFIXES, is_url, optional_module, read_documents, suffix_of
from gqvae.errors import GqvaeError
from gqvae.files import replacing

DEFAULT_SEPARATOR = "<|endoftext|>"
"""The usual document separator in plain text, on a line of its own."""

_KNOWN = "known suffixes: " + " ".join(SUFFIXES)


@dataclass
class SkipReport:
    """What was left out: how many documents (or rests of unreadable files), and the first few reasons."""

    count: int = 0
    examples: list[str] = dataclasses.field(default_factory=list)

    def add(self, reason: str) -> None:
        self.count += 1
        if len(self.examples) < 5:
            self.examples.append(reason)

    def __str__(self) -> str:
        if not self.count:
            return "nothing skipped"
        more = f" (and {self.count - len(self.examples)} more)" if self.count > len(self.examples) else ""
        return f"skipped {self.count}: " + "; ".join(self.examples) + more


@dataclass(frozen=True)
class Corpus:
    """Where documents come from, and how they are cut out.

    inputs: paths, globs (`**` too), folders (every file below with a known suffix), "-" (stdin, as .txt),
        URLs that fsspec opens ("s3://...", "https://..."), "hf://name[/config][:split]" (streamed; "train").
        The same file twice, also through a link or two globs, is an error: reading it twice would weigh it
        double, and reading it once would hide a mistake in the command.
    separator: in .txt a line that equals it ends a document; the newline before that line belongs to the
        document, the separator line does not. None: a whole file is one document.
    field: the key (.jsonl) or column (Parquet, Hugging Face) that holds the text.
    on_error: "raise" stops at the first bad document; "skip" leaves it out and counts it in `skips`.
        A missing file, an empty folder or an unknown suffix always raises.
    """

    inputs: tuple[str, ...]
    separator: str | None = DEFAULT_SEPARATOR
    field: str = "text"
    on_error: Literal["raise", "skip"] = "raise"
    skips: SkipReport = dataclasses.field(default_factory=SkipReport, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.inputs:
            raise GqvaeError("no input: name at least one file, folder, glob or '-'")
        if self.separator is not None and (not self.separator or set(self.separator) & set("\r\n")):
            raise GqvaeError(f"separator {self.separator!r} must be one non-empty line without its line end")
        if self.on_error not in ("raise", "skip"):
            raise GqvaeError(f"on_error is {self.on_error!r}; choose 'raise' or 'skip'")

    def named(self) -> dict[str, Any]:
        """How the text is named and read, as JSON values."""
        about = {"separator": self.separator, "field": self.field, "on_error": self.on_error}
        return {"inputs": list(self.inputs)} | about

    @classmethod
    def of_name(cls, named: Mapping[str, Any]) -> "Corpus":
        """The inverse of `named`. Raises KeyError, TypeError or ValueError for what that cannot give."""
        inputs, separator, field, on_error = (named[key] for key in ("inputs", "separator", "field", "on_error"))
        if not isinstance(inputs, list) or not all(isinstance(text, str) for text in (*inputs, separator or "", field)):
            raise TypeError(f"a corpus of {inputs!r}, separator {separator!r}, field {field!r}")
        try:
            return cls(tuple(inputs), separator, field, on_error)
        except GqvaeError as error:
            raise ValueError(str(error)) from error

    def sources(self) -> list[str]:
        """The files behind the inputs: inputs in the order given, files within one input sorted by path."""
        named: dict[str, tuple[str, str]] = {}  # file -> what it was called, and the input that named it
        found = []
        for given in self.inputs:
            for source in _expand(given):
                key = source if is_url(source) or source == STDIN else os.path.realpath(source)
                if key in named:
                    other, by = named[key]
                    same = "" if other == source else f", as {other}"
                    raise GqvaeError(f"{source} is named twice{same}, by {by!r} and by {given!r}")
                named[key] = source, given
                found.append(source)
        return found

    def documents(self) -> Iterator[str]:
        """Yield the documents in a fixed order, without the empty ones. Memory: a document (Parquet: 1,024).

        Starts `skips` afresh. Raises GqvaeError for bad inputs, and for bad documents unless skipped.
        """
        for document in self.streamed():
            yield document if isinstance(document, str) else document.whole()

    def streamed(self) -> Iterator[Document]:
        """`documents`, but long ones of plain text stay on disk. (Lines of .jsonl and rows are held whole.)"""
        self.skips.count, self.skips.examples = 0, []
        for source in self.sources():
            for item in read_documents(source, self.separator, self.field):
                if not isinstance(item, GqvaeError):
                    if item:
                        yield item
                elif self.on_error == "skip":
                    self.skips.add(str(item))
                else:
                    raise item


def unlike(named: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """`named` (`Corpus.named`) in words: its inputs, and what else of it is not so in `other`."""
    changed = [f"{key} {value!r}" for key, value in named.items() if key != "inputs" and other.get(key, value) != value]
    return ", ".join(named["inputs"]) + (f" ({', '.join(changed)})" if changed else "")


class TextHash:
    """The SHA-256 of documents: of each its UTF-8, then the length of that (8 bytes, big-endian)."""

    def __init__(self) -> None:
        self._hash, self._size = hashlib.sha256(), 0

    def update(self, document: bytes) -> None:
        self.extend(document)
        self.end()

    def extend(self, block: bytes) -> None:
        """A part of a document; `end` ends it."""
        self._hash.update(block)
        self._size += len(block)

    def end(self) -> None:
        self._hash.update(self._size.to_bytes(8, "big"))
        self._size = 0

    def hexdigest(self) -> str:
        """The hash of all documents so far; more may follow."""
        return self._hash.hexdigest()


def is_held_out(document: Document, fraction: float) -> bool:
    """Whether a document belongs to the held-out share of a corpus, about `fraction` (0..1) of all documents.

    Decided by the document's bytes alone (BLAKE2b of its UTF-8): neither order nor other documents nor the
    process matter, equal documents fall on the same side, and a larger fraction holds out a superset.
    """
    if not 0.0 <= fraction <= 1.0:
        raise GqvaeError(f"held-out fraction is {fraction}; it must lie in 0..1")
    digest = hashlib.blake2b(digest_size=8)
    for block in blocks(document):
        digest.update(block.encode("utf-8", "surrogatepass"))
    return int.from_bytes(digest.digest(), "big") < fraction * 2.0**64


def write_parts(documents: Iterable[str], fraction: float, folder: Path) -> tuple[Path, Path]:
    """Write the documents to train.jsonl and, those held out, held_out.jsonl in `folder`; return both paths."""
    paths = folder / "train.jsonl", folder / "held_out.jsonl"
    with ExitStack() as stack:
        train, held_out = (
            stack.enter_context(stack.enter_context(replacing(path)).open("w", encoding="utf-8")) for path in paths
        )
        for document in documents:
            line = json.dumps({"text": document}, ensure_ascii=False) + "\n"
            (held_out if is_held_out(document, fraction) else train).write(line)
    return paths


def _expand(given: str) -> list[str]:
    """The sources one input stands for, sorted. Raises GqvaeError where there is none."""
    if given == STDIN or given.startswith("hf://"):
        return [given]
    if is_url(given):
        return _expand_url(given)
    if os.path.isdir(given):
        return _walk(given)
    if os.path.exists(given):
        return _known([given])
    if not glob.has_magic(given):
        raise GqvaeError(f"{given}: no such file or folder")
    found = sorted(path for path in glob.glob(given, recursive=True) if not os.path.isdir(path))
    if not found:
        raise GqvaeError(f"{given}: no file matches")
    return _known(found)


def _expand_url(given: str) -> list[str]:
    if "*" not in given:
        return _known([given])
    fsspec = optional_module("fsspec", given)
    try:
        system, path = fsspec.core.url_to_fs(given)
        found = sorted(system.unstrip_protocol(match) for match in system.glob(path))
    except Exception as error:  # every remote file system raises its own kinds
        raise GqvaeError(f"cannot list {given}: {error}") from error
    if not found:
        raise GqvaeError(f"{given}: no file matches")
    return _known(found)


def _known(sources: list[str]) -> list[str]:
    for source in sources:
        if suffix_of(source) is None:
            raise GqvaeError(f"{source}: unknown suffix ({_KNOWN}); other plain text can come by stdin")
    return sources


def _walk(folder: str) -> list[str]:
    """Files with a known suffix below `folder`, hidden ones aside; of folders that links lead to again, once."""

    def unreadable(error: OSError) -> None:  # os.walk would pass over the folder in silence
        raise GqvaeError(f"cannot read folder {error.filename}: {error.strerror}") from error

    found, seen = [], {os.path.realpath(folder)}
    for parent, folders, names in os.walk(folder, onerror=unreadable, followlinks=True):
        known = {name: os.path.realpath(os.path.join(parent, name)) for name in sorted(folders) if name[0] != "."}
        folders[:] = {place: name for name, place in known.items() if place not in seen}.values()
        seen.update(known.values())
        readable = [name for name in names if suffix_of(name) and not name.startswith(".")]
        found += [os.path.join(parent, name) for name in readable]
    if not found:
        raise GqvaeError(f"{folder}: no file to read below this folder ({_KNOWN})")
    return sorted(found)
