"""Proof that an export is the tokenizer it claims to be, and the report of it; what fails is never left behind."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal, Protocol

from gqvae.awkward import AWKWARD_TEXT, special_texts
from gqvae.errors import GqvaeError
from gqvae.files import replacing_folder, write_json
from gqvae.tokenizer import Tokenizer
from gqvae.vocabulary import Vocabulary

REPORT = "parity.json"
"""The report, kept beside the export. No loader looks at it."""
FILES = frozenset({
    REPORT, "tokenizer.json", "tokenizer_config.json", "ranks.tiktoken", "tiktoken.json", "tokenizer.model",
    "tokenizer.gguf",
})  # fmt: skip
"""All that an export may hold."""


class Reference(Protocol):
    """What an export has to match: `gqvae.Tokenizer`, or `gqvae.bpe.BPETokenizer`."""

    vocabulary: Vocabulary
    name: str

    def encode(self, text: str, /, *, allowed_special: Literal["all"] | tuple[()] = ()) -> list[int]: ...

    def decode_bytes(self, ids: Sequence[int], /) -> bytes: ...


@dataclass(frozen=True)
class Runtime:
    """An export as some program loaded it.

    name: what the report calls the program.
    size: the number of ids it knows.
    encode: the ids of a text, special tokens in it parsed.
    decode: the text of ids, special tokens included.
    plain: the ids of a text, special tokens in it not parsed; None where the program cannot.
    knows: whether it claims to have the ids of a text.
    caution: why its ids may differ, if that is known.
    """

    name: str
    size: int
    encode: Callable[[str], Sequence[int]]
    decode: Callable[[Sequence[int]], str]
    plain: Callable[[str], Sequence[int]] | None
    knows: Callable[[str], bool] = lambda _: True
    caution: str = ""


@dataclass(frozen=True)
class Proof:
    """The texts that exports are compared on, and the ids they must get.

    parsed, plain: the ids with the special tokens in the text parsed, and not.
    documents: how many of the texts are the user's; the others are built in.
    """

    reference: Reference
    texts: list[str]
    parsed: list[list[int]]
    plain: list[list[int]]
    documents: int

    @classmethod
    def of(cls, reference: Reference, documents: Iterable[str] = ()) -> "Proof":
        """Encode the built-in texts and `documents`. Raises GqvaeError if one does not come back."""
        built_in = [*AWKWARD_TEXT, *special_texts(reference.vocabulary.specials)]
        texts = list(chain(built_in, documents))
        parsed = [reference.encode(text, allowed_special="all") for text in texts]
        plain = [reference.encode(text) for text in texts]
        for text, *both in zip(texts, parsed, plain, strict=True):
            for ids in both:
                expect(reference.decode_bytes(ids) == text.encode(), f"{text[:60]!r} does not round-trip")
        return cls(reference, texts, parsed, plain, len(texts) - len(built_in))

    def check(self, runtime: Runtime) -> None:
        """Raise GqvaeError if the number of ids, an id or a decoded text differs."""
        where, caution = f"in {runtime.name}", runtime.caution and f" ({runtime.caution})"
        expect(runtime.size == len(self.reference.vocabulary), f"the number of ids differs {where}")
        for text, parsed, plain in zip(self.texts, self.parsed, self.plain, strict=True):
            if not runtime.knows(text):
                continue
            expect(list(runtime.encode(text)) == parsed, f"ids differ on {text[:60]!r} {where}{caution}")
            expect(runtime.decode(parsed) == text, f"{text[:60]!r} does not round-trip {where}")
            if runtime.plain:
                expect(list(runtime.plain(text)) == plain, f"ids differ on {text[:60]!r} {where}, specials not parsed")

    def report(self, kind: str, unreachable: int, checked_with: Iterable[str], note: str) -> dict[str, Any]:
        """What was proven, once every check has passed.

        Args:
            unreachable: ids that no text gives.
            checked_with: the programs whose ids are equal.
        """
        sizes = [len(text.encode()) for text in self.texts]
        return {
            "format": kind,
            "vocab_size": len(self.reference.vocabulary),
            "documents": self.documents,
            "samples": len(self.texts),
            "bytes": sum(sizes),
            "longest_bytes": max(sizes),
            "ids_equal": True,
            "round_trip": True,
            "unreachable_ids": unreachable,
            "checked_with": list(checked_with),
            "note": note,
        }


def expect(holds: bool, message: str) -> None:
    """Raise GqvaeError unless it holds."""
    if not holds:
        raise GqvaeError(f"the export is not the same tokenizer, so nothing was written: {message}")


def unreachable_ids(tokenizer: Tokenizer) -> int:
    """How many plain tokens are other ids where they stand alone.

    What begins or ends within a character stands within a pretoken: there the pattern has no say.
    """
    found = 0
    for id_, token in enumerate(tokenizer.vocabulary.plain_tokens):
        whole = token.decode(errors="ignore").encode() == token
        found += (tokenizer.encode(token) if whole else tokenizer.encode_pretoken(token)) != [id_]
    return found


def write_export(folder: str | Path, write: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """Put what `write` makes in a temporary folder, and its report, in the place of `folder`.

    Raises GqvaeError if `folder` cannot be written or holds anything but an export.
    """
    folder = Path(folder)
    _refuse_foreign(folder)
    with replacing_folder(folder) as temporary:
        report = {"folder": str(folder)} | write(temporary)
        write_json(temporary / REPORT, report)
    return report


def _refuse_foreign(folder: Path) -> None:
    """Replacing a folder deletes what is in it: do so only for an earlier export."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise GqvaeError(f"{folder} is a file: give a folder for the export")
    names = {path.name for path in folder.iterdir()}
    others = sorted(names - FILES if REPORT in names else names)
    if others:
        raise GqvaeError(f"{folder} holds other files ({', '.join(others[:3])}): export to a folder of its own")
