"""A damaged or forged gqvae.json, its hash right or wrong: an error of ours, or a tokenizer that keeps its promises."""

import json
import tempfile
from pathlib import Path

from fuzz.inputs import Choices, altered, as_json, damaged
from gqvae import GqvaeError, Tokenizer, Vocabulary
from gqvae.awkward import AWKWARD_BYTES
from gqvae.files import digest
from gqvae.verify import verify

FOLDER = Path(tempfile.mkdtemp())
TOKENIZER = Tokenizer(
    Vocabulary((b"ab", b" the", b"\xc3\xa9", b"\xff\x00", b"abab"), ("<|endoftext|>", "<|pad|>")),
    [-9.0] * 256 + [-1.5, -2.0, -3.25, -4.0, -2.5],
    "gpt2",
    "fuzzed",
    {"seed": 0, "corpus": {"documents": 3}},
)
GOOD = TOKENIZER.save(FOLDER).read_bytes()
SEEDS = [bytes([kind]) + bytes(range(start, start + 40)) for kind in range(4) for start in (0, 50, 100)] + [
    b"\x03" + GOOD
]


def check(data: bytes) -> None:
    choices = Choices(data)
    path = FOLDER / "gqvae.json"
    kind = choices.below(4)
    if kind < 2:
        document = altered(json.loads(GOOD), choices)
        if kind == 0 and isinstance(document, dict):
            document["sha256"] = digest({key: value for key, value in document.items() if key != "sha256"})
        path.write_bytes(as_json(document))
    else:
        path.write_bytes(damaged(GOOD, choices) if kind == 2 else choices.rest())
    try:
        tokenizer = Tokenizer.load(path)
    except GqvaeError as error:
        assert str(path) in str(error)
        return
    if kind >= 2:  # damage is never a change
        assert json.loads(path.read_bytes()) == json.loads(GOOD)
    for text in (*AWKWARD_BYTES, b"abab the \xff\x00<|endoftext|>"):
        assert tokenizer.decode_bytes(tokenizer.encode(text)) == text
    tokenizer.save(FOLDER / "again")
    assert Tokenizer.load(FOLDER / "again").encode("abab the") == tokenizer.encode("abab the")
    if data[1:2] == b"\x00":
        assert all(check.ok for check in verify(path))
