"""Encoding and decoding against Hugging Face BPE of as many ids, trained on the same text; one thread.

Every run begins with nothing remembered: fresh copies of both. A text comes as one string, as documents one after the
other (`encode`), and as a list of them (`encode_batch`). Seconds are the processor's.
"""

import os

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one thread

import time
from copy import copy
from pathlib import Path
from typing import Any

from timing import keep, side_by_side, tokenizers_and_texts
from tokenizers import Tokenizer as HuggingFaceTokenizer

from gqvae.corpus import Corpus
from gqvae.evaluation.trained import bpe
from gqvae.names import load

CASES = {
    "tinystories-4096": "tinystories_train.txt",
    "wikipedia-8192": "wikipedia_train.txt",
    "code-8192": "code_train.txt",
    "multilingual-8192": "multilingual_train.txt",
    "tinystories-8192-superword": "tinystories_train.txt",
    "wikipedia-8192-superword": "wikipedia_train.txt",
}


def main() -> None:
    repeats, texts = tokenizers_and_texts(__doc__, CASES)
    rows = [_row(name, text, repeats) for name, text in texts.items()]
    keep("encoding", "if no text is given, what each was trained on, 3 to 4 MB; times as fast as BPE", rows)


def _row(name: str, text: Path, repeats: int) -> dict[str, Any]:
    documents = list(Corpus((str(text),)).documents())
    whole, ours = "".join(documents), load(name)
    peer = bpe(documents, ours.vocab_size).to_str()
    ids, peer_ids = ours.encode(whole), HuggingFaceTokenizer.from_str(peer).encode(whole).ids
    pairs = {
        "one string": (lambda: _peer(peer).encode(whole).ids, lambda: copy(ours).encode(whole)),
        "documents": (lambda: _one_by_one(_peer(peer), documents), lambda: _one_by_one(copy(ours), documents)),
        "batch": (lambda: _ids(_peer(peer).encode_batch_fast(documents)), lambda: copy(ours).encode_batch(documents)),
        "decode": (lambda: _peer(peer).decode(peer_ids), lambda: copy(ours).decode(ids)),
    }
    tasks = {(what, whose): pair[whose] for what, pair in pairs.items() for whose in (0, 1)}
    seconds = side_by_side(tasks, repeats, time.process_time)
    return {"tokenizer": name} | {what: seconds[what, 0] / seconds[what, 1] for what in pairs}


def _peer(content: str) -> HuggingFaceTokenizer:
    return HuggingFaceTokenizer.from_str(content)


def _one_by_one(model: Any, documents: list[str]) -> list[Any]:
    return [model.encode(document) for document in documents]


def _ids(encodings: list[Any]) -> list[list[int]]:
    return [encoding.ids for encoding in encodings]


if __name__ == "__main__":
    main()
