"""The ids of the bundled tokenizers, for ever: people train models on them.

`golden.json` has, for each tokenizer, the hash of its file's content, the hash of its ids of every text below, and an
example that a person can read. A line there is added with a tokenizer and never changed.
"""

import hashlib
import json
import random
from pathlib import Path

import pytest
from test_bundled import FOLDER, NAMES, ROOT

import gqvae

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text(encoding="utf-8"))
EXAMPLE = "Once upon a time, the tokenizer learned 12 words.\n\n\tdef f(x): return 天气"


def texts() -> list[bytes]:
    """English, all characters below U+3000 in a row and as words, and random bytes: the same on every Python."""
    letters = [chr(code) for code in range(0x3000)]
    words = " ".join(letters[0x20:])
    generator = random.Random(0)
    noise = [generator.randbytes(size) for size in (1, 10, 100, 1000)]
    return [(ROOT / "LICENSE").read_bytes(), "".join(letters).encode(), words.encode(), *noise]


def ids_digest(tokenizer: gqvae.Tokenizer) -> str:
    lines = (" ".join(map(str, tokenizer.encode(text))) + "\n" for text in texts())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def example(tokenizer: gqvae.Tokenizer) -> list[str]:
    return [f"{index}: {tokenizer.decode([index], errors='backslashreplace')}" for index in tokenizer.encode(EXAMPLE)]


def entry(name: str) -> dict[str, object]:
    tokenizer = gqvae.load(name)
    content = json.loads((FOLDER / name / "gqvae.json").read_bytes())
    return {"file_sha256": content["sha256"], "ids_sha256": ids_digest(tokenizer), "example": example(tokenizer)}


@pytest.mark.parametrize("name", NAMES)
def test_no_id_has_changed(name: str) -> None:
    found = entry(name)
    assert name in GOLDEN, f"add to golden.json: {json.dumps({name: found}, ensure_ascii=False)}"
    assert found == GOLDEN[name]


def test_the_digest_sees_one_changed_id(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = gqvae.load("tinystories-1024")
    encode = tokenizer.encode
    monkeypatch.setattr(tokenizer, "encode", lambda text: [*encode(text)[:-1], 0])
    assert ids_digest(tokenizer) != GOLDEN["tinystories-1024"]["ids_sha256"]
