"""Measure the portable exports of bundled tokenizers: `runs/portable.py [NAME ...]`.

Each vocabulary is chosen on the documents its tokenizer learned from. Bytes per token of the tokenizer, the export (as
`evaluate hf:FOLDER` loads it) and peers of as many ids, on the documents that all were kept from and, for TinyStories,
on the validation file. Writes runs/results/portable.json and the exports in out/portable.
"""

import argparse
from typing import Any

from remake import DATA, PEERS, RESULTS, SECOND_TEXTS, SUPERWORD_PEERS, documents, recipe

from gqvae.corpus import Corpus
from gqvae.evaluation.metrics import compare, rate
from gqvae.evaluation.peers import load_peer, train_peer
from gqvae.export.portable import count, export_portable
from gqvae.files import read_json, write_json
from gqvae.names import load

NAMES = (
    "tinystories-1024",
    "tinystories-4096",
    "wikipedia-8192",
    "code-8192",
    "multilingual-8192",
    "tinystories-8192-superword",
    "wikipedia-8192-superword",
)
KEEP = 0.97
"""Share of the bytes per token without which there is nothing to measure."""
SHARE = 0.05
"""Of the documents that the bundled tokenizers were kept from."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", default=NAMES)
    path = RESULTS / "portable.json"
    for name in parser.parse_args().names:
        done = read_json(path) if path.exists() else {}
        write_json(path, done | {name: measure(name)})


def measure(name: str) -> dict[str, Any]:
    """The report of the export, and the rows of each text."""
    corpus, tokenizer = recipe(name)["corpus"], load(name)
    folder = f"out/portable/{name}"
    counts = count(documents(corpus, SHARE, held_out=False), tokenizer.pattern)
    report = export_portable(tokenizer, folder, counts, documents(corpus, SHARE, held_out=True), keep=KEEP)
    specs = [f"{kind}:{tokenizer.vocab_size}" for kind in (SUPERWORD_PEERS if "base" in recipe(name) else PEERS)]
    peers = [train_peer(spec, documents(corpus, SHARE, held_out=False)) for spec in specs]
    contenders = [tokenizer, load_peer(f"hf:{folder}"), *peers]
    result = {"report": report, "held_out": rate(compare(contenders, documents(corpus, SHARE, held_out=True)), 0)}
    if second := SECOND_TEXTS.get(corpus):
        result[second] = rate(compare(contenders, Corpus((str(DATA / second),)).documents()), 0)
    return result


if __name__ == "__main__":
    main()
