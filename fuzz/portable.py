"""A damaged or forged portable export: the tokenizer as it was, an error of ours, or one that keeps its promises."""

import json
import tempfile
from pathlib import Path

from fuzz.inputs import Choices, altered, as_json, damaged
from gqvae import GqvaeError
from gqvae.awkward import AWKWARD_BYTES
from gqvae.bpe import BPETokenizer
from gqvae.export import build_huggingface
from gqvae.export.portable import load_portable
from gqvae.vocabulary import Vocabulary

FOLDER = Path(tempfile.mkdtemp())
PATH = FOLDER / "tokenizer.json"
LEARNED = (b"ab", b" t", b"abab", b" th", b" the", b"\xc3\xa9", b"\xff\x00")
build_huggingface(BPETokenizer(Vocabulary(LEARNED, ("<|endoftext|>", "<|pad|>")), "gpt2", "fuzzed")).save(str(PATH))
GOOD = PATH.read_bytes()
TOKENIZER = load_portable(FOLDER)
TEXTS = (*AWKWARD_BYTES, b"abab the \xff\x00<|endoftext|>")
SEEDS = [bytes([kind]) + bytes(range(start, start + 40)) for kind in range(2) for start in (0, 50, 100)] + [
    b"\x02" + GOOD
]


def check(data: bytes) -> None:
    choices = Choices(data)
    kind = choices.below(3)
    if kind == 0:
        PATH.write_bytes(as_json(altered(json.loads(GOOD), choices)))
    else:
        PATH.write_bytes(damaged(GOOD, choices) if kind == 1 else choices.rest())
    try:
        tokenizer = load_portable(FOLDER)
    except GqvaeError as error:
        assert str(PATH) in str(error)
        return
    for text in TEXTS:
        assert tokenizer.decode_bytes(tokenizer.encode(text)) == text
    written = json.loads(build_huggingface(tokenizer).to_str())["model"]
    assert written | json.loads(PATH.read_bytes())["model"] == written
