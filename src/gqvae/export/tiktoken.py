"""A BPE for tiktoken: `ranks.tiktoken`, a line a token, and `tiktoken.json` with all else that an encoding needs.

A program without gqvae loads it so:

    import base64, json, tiktoken
    from pathlib import Path
    about = json.loads(Path("FOLDER/tiktoken.json").read_text("utf-8"))
    lines = map(bytes.split, Path("FOLDER/ranks.tiktoken").read_bytes().splitlines())
    about["mergeable_ranks"] = {base64.b64decode(token): int(rank) for token, rank in lines}
    encoding = tiktoken.Encoding(**about)
"""

import base64
import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gqvae.bpe import BPETokenizer
from gqvae.export.parity import Runtime
from gqvae.files import read_bounded, read_json
from gqvae.patterns import PATTERNS, holds_newer

RANKS, ABOUT = "ranks.tiktoken", "tiktoken.json"

# The patterns that gigatoken knows, by its names. It splits text by these alone.
GIGATOKEN = {"gpt2": "gpt2", "gpt4": "gpt4"}


def write_tiktoken(tokenizer: BPETokenizer, folder: Path) -> None:
    """Write the two files, unchecked."""
    tokens = tokenizer.vocabulary.plain_tokens
    lines = [f"{base64.b64encode(token).decode('ascii')} {rank}\n" for rank, token in enumerate(tokens)]
    (folder / RANKS).write_text("".join(lines), encoding="ascii")
    about = {
        "name": tokenizer.name,
        "pat_str": PATTERNS[tokenizer.pattern],
        "special_tokens": tokenizer.special_ids,
        "explicit_n_vocab": tokenizer.vocab_size,
    }
    (folder / ABOUT).write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def load_tiktoken(folder: Path) -> Any:
    """The `tiktoken.Encoding` of the two files."""
    import tiktoken

    about = read_json(folder / ABOUT)
    lines = map(bytes.split, read_bounded(folder / RANKS).splitlines())
    about["mergeable_ranks"] = {base64.b64decode(token): int(rank) for token, rank in lines}
    return tiktoken.Encoding(**about)


def tiktoken_runtimes(folder: Path) -> Iterator[Runtime]:
    """The two files as tiktoken reads them, if installed."""
    if not find_spec("tiktoken"):
        return
    encoding = load_tiktoken(folder)
    yield Runtime(
        name="tiktoken",
        size=encoding.n_vocab,
        encode=lambda text: encoding.encode(text, allowed_special="all"),
        decode=encoding.decode,
        plain=encoding.encode_ordinary,
    )


def gigatoken_runtimes(tokenizer: BPETokenizer, folder: Path) -> Iterator[Runtime]:
    """`tokenizer.json` as gigatoken reads it, and the ranks, if installed. Special tokens are always parsed there, and
    letters and numbers of Unicode 17 are such, where the others and we take them for unassigned.

    From ranks it derives merges itself, and gives up where a token has none.
    """
    if not find_spec("gigatoken") or tokenizer.pattern not in GIGATOKEN:
        return
    from gigatoken import Tokenizer

    loaded = {"gigatoken": Tokenizer(folder / "tokenizer.json")}
    if not tokenizer.whole_only:
        pattern = GIGATOKEN[tokenizer.pattern]
        loaded["gigatoken (ranks)"] = Tokenizer.from_tiktoken(folder / RANKS, pattern, tokenizer.special_ids)
    yield from (_gigatoken_runtime(name, model) for name, model in loaded.items())


def _gigatoken_runtime(name: str, model: Any) -> Runtime:
    return Runtime(
        name=name,
        size=model.vocab_size,
        encode=lambda text: model.encode(text).tolist(),
        decode=lambda ids: model.decode(list(ids)).decode(),
        plain=None,
        knows=lambda text: not holds_newer(text),
    )
