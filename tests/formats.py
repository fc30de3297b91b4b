"""The same few documents in every format that can be read."""

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gqvae.corpus import DEFAULT_SEPARATOR, Corpus

DOCUMENTS = ["\ufeffOne\r\ntwo\0\n", "日本語 👩\u200d🚀\n\n", " <|endoftext|> inside\n", "last, no newline"]
PLAIN = f"\n{DEFAULT_SEPARATOR}\n".join(text.removesuffix("\n") for text in DOCUMENTS[:-1])
TXT = (PLAIN + f"\n{DEFAULT_SEPARATOR}\r\n{DEFAULT_SEPARATOR}\n" + DOCUMENTS[-1]).encode()
JSONL = "".join(json.dumps({"id": n, "text": text}) + "\n" for n, text in enumerate(DOCUMENTS)).encode()


def read(*inputs: Path | str, **options: Any) -> list[str]:
    return list(Corpus(tuple(map(str, inputs)), **options).documents())


def zstd(data: bytes) -> bytes:
    import zstandard

    half = len(data) // 2  # two frames, as parallel compressors write them
    return zstandard.compress(data[:half]) + zstandard.compress(data[half:])


def parquet(documents: list[Any], column: str = "text") -> bytes:
    import pyarrow
    import pyarrow.parquet

    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"id": range(len(documents)), column: documents}), buffer)
    return buffer.getvalue()


FORMATS: dict[str, Callable[[], bytes]] = {
    "a.txt": lambda: TXT,
    "a.TXT.gz": lambda: gzip.compress(TXT[:50]) + gzip.compress(TXT[50:]),
    "a.txt.zst": lambda: zstd(TXT),
    "a.jsonl": lambda: JSONL,
    "b.jsonl": lambda: b"\xef\xbb\xbf" + JSONL.replace(b"\n", b"\r\n\r\n"),
    "a.jsonl.gz": lambda: gzip.compress(JSONL),
    "a.jsonl.zst": lambda: zstd(JSONL),
    "a.parquet": lambda: parquet(DOCUMENTS),
}
