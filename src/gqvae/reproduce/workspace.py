"""The folder of a comparison: what it is given, and what each finished cell left there.

settings.json                        what is compared
corpus/train.jsonl, held_out.jsonl   the documents, training and held-out
parallel.jsonl                       the same text in several languages, where it was given
cells/KEY/result.json                of each finished cell, written last; log.txt: what it had to say
cells/KEY/train.parquet, held_out.parquet   of each tokenizer: the ids of all documents
results.json, report.html, figures/  the outcome
"""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Generic, TypeVar

from gqvae.corpus import Corpus, unlike, write_parts
from gqvae.errors import GqvaeError
from gqvae.files import LOCK, file_digest, read_json, write_json
from gqvae.reproduce.settings import ComparisonSettings, ReproduceSettings

PARALLEL = "parallel.jsonl"


S = TypeVar("S", bound=ComparisonSettings)


class Space(Generic[S]):
    """Access to the folder of a comparison with settings of any kind."""

    kind: ClassVar[type[Any]]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.about = folder / "settings.json"
        self._corpus = folder / "corpus"

    def prepare(
        self,
        settings: S,
        named: Mapping[str, Any],
        documents: Iterable[str],
        files: Mapping[str, Path | None] = MappingProxyType({}),
    ) -> None:
        """Write what is given, or check that it is what the folder was begun with. Raises GqvaeError if it is not, for
        a folder that holds other things, and for a corpus too small to hold anything out.

        named: what the documents are called, and how they were read (`Corpus.named`).
        files: what else is given, if it is, by the name it has in the folder.
        """
        if self.about.exists():
            self._check(settings, named, files)
            return
        given = {self.folder / name: path for name, path in files.items() if path}
        # input without settings.json was left by a call that was killed, or that refused this input
        ours = (self.folder / LOCK, self._corpus, *self.corpus_files(), *given)
        if any(path not in ours for path in (*self.folder.glob("*"), *self._corpus.glob("[!.]*"))):
            raise GqvaeError(f"{self.folder} holds other files: give a folder of its own")
        chosen = _first(documents, settings.most_bytes)
        training, held_out = write_parts(chosen, settings.held_out, self._corpus)
        for path, part in ((training, "training"), (held_out, "held-out")):
            if not path.stat().st_size:
                raise GqvaeError(f"no document is {part} text: give more documents (--separator?), or --set held_out=")
        for kept, path in given.items():
            if not (kept.exists() and kept.samefile(path)):
                shutil.copy(path, kept)
        write_json(self.about, {"corpus": dict(named), "settings": settings.to_dict()})

    def _check(self, settings: S, named: Mapping[str, Any], files: Mapping[str, Path | None]) -> None:
        begun = read_json(self.about)
        if "corpus" not in begun:
            raise GqvaeError(f"{self.about} is not of this version: give another folder")
        if named != begun["corpus"]:
            text = unlike(begun["corpus"], named)
            raise GqvaeError(f"{self.folder} was begun on {text}: give the same text, or another folder")
        if settings != (before := self.settings()):
            raise GqvaeError(
                f"{self.folder} was begun with other settings ({before.difference(settings)}): repeat those, or give "
                "another folder"
            )
        for name, path in files.items():
            kept = self.folder / name
            if (path and file_digest(path)) != (file_digest(kept) if kept.exists() else None):
                raise GqvaeError(
                    f"{self.folder} was begun with another {name}, or none: repeat it, or give another folder"
                )

    def settings(self) -> S:
        found: S = self.kind.from_dict(read_json(self.about)["settings"])
        return found

    def inputs(self) -> list[str]:
        found: list[str] = read_json(self.about)["corpus"]["inputs"]
        return found

    def corpus_files(self) -> tuple[Path, Path]:
        """Where the documents to train on lie, and those held out."""
        return self._corpus / "train.jsonl", self._corpus / "held_out.jsonl"

    def training(self) -> list[str]:
        return _documents(self.corpus_files()[0])

    def held_out(self) -> list[str]:
        return _documents(self.corpus_files()[1])

    def cell(self, key: str) -> Path:
        return self.folder / "cells" / key

    def log(self, key: str) -> Path:
        return self.cell(key) / "log.txt"

    def keep(self, key: str, result: dict[str, Any]) -> None:
        write_json(self.cell(key) / "result.json", result)

    def done(self) -> dict[str, dict[str, Any]]:
        """What finished cells gave, by key."""
        paths = sorted((self.folder / "cells").glob("*/result.json"))
        return {path.parent.name: read_json(path) for path in paths}


class Workspace(Space[ReproduceSettings]):
    """The folder of `gqvae reproduce`."""

    kind = ReproduceSettings

    @property
    def parallel(self) -> Path:
        return self.folder / PARALLEL


def _documents(path: Path) -> list[str]:
    return list(Corpus((str(path),)).documents())


def _first(documents: Iterable[str], most: int | None) -> Iterable[str]:
    """The documents, up to `most` bytes. Raises GqvaeError if the first has more."""
    size = 0
    for number, document in enumerate(documents):
        size += len(document.encode())
        if most is not None and size > most:
            if not number:
                raise GqvaeError(f"the first document has {size} bytes: set most_bytes, which is {most}, higher")
            return
        yield document
