"""A corpus file of any kind, damaged or made up: documents of valid text, or an error of ours that names the file."""

import gzip
import io
import json
import tempfile
from pathlib import Path

import pyarrow
import pyarrow.parquet
import zstandard

from fuzz.inputs import Choices, altered, as_json, damaged
from gqvae import GqvaeError
from gqvae.corpus import Corpus
from gqvae.corpus.readers import SUFFIXES

FOLDER = Path(tempfile.mkdtemp())
DOCUMENTS = ["One\r\ntwo\0\n", "日本語 👩\u200d🚀\n\n", " <|endoftext|> inside\n", "last, no newline"]
RECORDS = [{"id": number, "text": text, "more": {"a": [1, None]}} for number, text in enumerate(DOCUMENTS)]


def _files() -> dict[str, bytes]:
    text = "\n<|endoftext|>\n".join(DOCUMENTS).encode()
    lines = b"".join(as_json(record) + b"\n" for record in RECORDS)
    table = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(RECORDS), table)
    plain = {".txt": text, ".jsonl": lines, ".parquet": table.getvalue()}
    packed = {suffix + ".gz": gzip.compress(plain[suffix], mtime=0) for suffix in (".txt", ".jsonl")}
    return plain | packed | {suffix + ".zst": zstandard.compress(plain[suffix]) for suffix in (".txt", ".jsonl")}


FILES = _files()
SEEDS = [bytes([number, kind, 7 * kind, 90]) + FILES[name] for number, name in enumerate(SUFFIXES) for kind in range(3)]


def check(data: bytes) -> None:
    choices = Choices(data)
    suffix, kind = choices.of(SUFFIXES), choices.below(3)
    if kind == 0:
        content = choices.rest()
    elif kind == 1:
        content = damaged(FILES[suffix], choices)
    else:
        content = _packed(_altered(suffix, choices), suffix)
    path = FOLDER / f"a{suffix}"
    path.write_bytes(content)
    separator = choices.of(("<|endoftext|>", None, "==="))
    try:
        found = list(Corpus((str(path),), separator).documents())
    except GqvaeError as error:
        assert str(path) in str(error)
    else:
        assert all(document and document.encode() for document in found)
        if suffix == ".txt" and separator is None:
            assert "".join(found).encode() == content
    skipping = Corpus((str(FOLDER),), separator, on_error="skip")
    assert all(document and document.encode() for document in skipping.documents())
    path.unlink()


def _altered(suffix: str, choices: Choices) -> bytes:
    """Well-formed files with unexpected content."""
    if ".jsonl" in suffix:
        return b"\n".join(as_json(altered(record, choices)) for record in RECORDS)
    if suffix == ".parquet":
        rows = [altered(record, choices) for record in RECORDS]
        try:
            table, buffer = pyarrow.Table.from_pylist(json.loads(json.dumps(rows))), io.BytesIO()
            pyarrow.parquet.write_table(table, buffer)
            return buffer.getvalue()
        except (pyarrow.ArrowException, AttributeError, OverflowError, TypeError, UnicodeError, ValueError):
            return b""  # no such table can be made
    return choices.rest() * choices.below(2000)


def _packed(content: bytes, suffix: str) -> bytes:
    if suffix.endswith(".gz"):
        return gzip.compress(content)
    return zstandard.compress(content) if suffix.endswith(".zst") else content
