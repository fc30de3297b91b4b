"""Encoding against Hugging Face BPE of as many ids on the same text, one thread, and `encode_batch` on two cores.

Every run begins with nothing remembered: fresh copies of the tokenizers. Both read one document after the other;
Hugging Face's `encode_batch_fast`, which leaves out offsets, is there too.
"""

import os

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one thread for all but the last comparison

from copy import copy
from typing import Any

from timing import keep, parser, side_by_side
from tokenizers import Tokenizer as HuggingFaceTokenizer

from gqvae.corpus import Corpus
from gqvae.evaluation.trained import bpe
from gqvae.export import build_huggingface
from gqvae.tokenizer import Tokenizer, load

TIMES = 8
"""As often the text, for two processes: one starts in half a second."""


def main() -> None:
    arguments = parser(__doc__, "tinystories_train.txt")
    arguments.add_argument("--tokenizer", default="tinystories-4096")
    given = arguments.parse_args()
    tokenizer, documents = load(given.tokenizer), list(Corpus((str(given.text),)).documents())
    peer, export = bpe(documents, tokenizer.vocab_size).to_str(), build_huggingface(tokenizer).to_str()
    many = documents * TIMES

    def fresh() -> Tokenizer:
        return copy(tokenizer)  # remembers nothing

    def encode_one_by_one(make: Any) -> None:
        model = make()
        for document in documents:
            model.encode(document)

    seconds = side_by_side(
        {
            "HF BPE, encode": lambda: encode_one_by_one(lambda: HuggingFaceTokenizer.from_str(peer)),
            "HF BPE, encode_batch_fast": lambda: HuggingFaceTokenizer.from_str(peer).encode_batch_fast(documents),
            "gqvae": lambda: encode_one_by_one(fresh),
            "its HF export": lambda: encode_one_by_one(lambda: HuggingFaceTokenizer.from_str(export)),
        },
        given.repeats,
    )
    batches = side_by_side(
        {
            f"gqvae, encode_batch, {workers} processes": lambda workers=workers: fresh().encode_batch(many, workers)
            for workers in (1, 2)
        },
        given.repeats,
    )
    size = sum(len(document.encode()) for document in documents)
    about = f"{given.tokenizer}, {given.text.name}: {size:,} bytes; batches of {TIMES} times that"
    rows = [{"what": name, "x HF BPE": seconds["HF BPE, encode"] / taken} for name, taken in seconds.items()]
    alone = next(iter(batches.values()))
    rows += [{"what": name, "x one process": alone / taken} for name, taken in batches.items()]
    keep("encoding", about, rows)


if __name__ == "__main__":
    main()
