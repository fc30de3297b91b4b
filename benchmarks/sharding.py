"""Token shards against encoding in memory, and two processes against one. Seconds are those of the clock."""

import tempfile
from copy import copy
from pathlib import Path

from timing import keep, parser, side_by_side

from gqvae.corpus import Corpus
from gqvae.encoding import encode_corpus
from gqvae.tokenizer import load

TIMES = 4
"""As often the text: large enough for the start of two processes not to matter."""


def main() -> None:
    arguments = parser(__doc__, "wikipedia_train.txt")
    arguments.add_argument("--tokenizer", default="wikipedia-8192")
    given = arguments.parse_args()
    tokenizer, corpus = load(given.tokenizer), Corpus((str(given.text),))
    documents = list(corpus.documents()) * TIMES

    with tempfile.TemporaryDirectory() as folder:
        numbers = iter(range(1_000_000))

        def to_shards(workers: int) -> None:
            encode_corpus(copy(tokenizer), documents, Path(folder) / str(next(numbers)), workers=workers)

        seconds = side_by_side(
            {
                "in memory, 1 process": lambda: copy(tokenizer).encode_batch(documents),
                "in memory, 2 processes": lambda: copy(tokenizer).encode_batch(documents, workers=2),
                "to shards, 1 process": lambda: to_shards(1),
                "to shards, 2 processes": lambda: to_shards(2),
            },
            given.repeats,
        )
    size = sum(len(document.encode()) for document in documents)
    about = f"{given.tokenizer}, {given.text.name}, {TIMES} times: {size:,} bytes"
    alone = seconds["in memory, 1 process"]
    keep("sharding", about, [{"what": name, "x in memory": alone / taken} for name, taken in seconds.items()])


if __name__ == "__main__":
    main()
