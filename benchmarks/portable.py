"""The portable export in the fast runtimes, against a plain BPE of as many ids in the same runtime."""

import os

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gigatoken
from timing import keep, side_by_side, tokenizers_and_texts

from gqvae.bpe import BPETokenizer
from gqvae.corpus import Corpus
from gqvae.export.chat import Settings
from gqvae.export.portable import count, portable_bpe, write_portable
from gqvae.export.tiktoken import load_tiktoken
from gqvae.names import load

CASES = {
    "tinystories-4096": "tinystories_train.txt",
    "wikipedia-8192": "wikipedia_train.txt",
    "multilingual-8192": "multilingual_train.txt",
}


def main() -> None:
    repeats, texts = tokenizers_and_texts(__doc__, CASES)
    rows = [row for name, text in texts.items() for row in _rows(name, text, repeats)]
    keep(
        "portable",
        "one thread, documents one after the other, tokenizers loaded anew; times as fast as a plain BPE",
        rows,
    )


def _rows(name: str, text: Path, repeats: int) -> list[dict[str, Any]]:
    documents = list(Corpus((str(text),)).documents())
    tokenizer = load(name)
    counts = count(documents, tokenizer.pattern)
    models = {kind: portable_bpe(tokenizer, counts, merges_only=kind == "plain") for kind in ("portable", "plain")}
    with tempfile.TemporaryDirectory() as folder:
        tasks = {
            (runtime, kind): _task(encoder, documents)
            for kind, model in models.items()
            for runtime, encoder in _encoders(model, Path(folder) / kind).items()
        }
        seconds = side_by_side(tasks, repeats, time.process_time)
    return [
        {"tokenizer": name, "runtime": runtime, "x plain BPE": seconds[runtime, "plain"] / seconds[runtime, "portable"]}
        for runtime in ("gigatoken", "tiktoken")
    ]


def _encoders(model: BPETokenizer, folder: Path) -> dict[str, Callable[[], Callable[[str], Any]]]:
    folder.mkdir()
    write_portable(model, folder, Settings())
    return {
        "gigatoken": lambda: gigatoken.Tokenizer(folder / "tokenizer.json").encode,
        "tiktoken": lambda: load_tiktoken(folder).encode_ordinary,
    }


def _task(encoder: Callable[[], Callable[[str], Any]], documents: list[str]) -> Callable[[], None]:
    def task() -> None:
        encode = encoder()
        for document in documents:
            encode(document)

    return task


if __name__ == "__main__":
    main()
