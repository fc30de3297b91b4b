"""Token shards against encoding in memory, and two processes against one.

By the clock, and by the seconds of all processors: twice as many in the same time is what two processes can give.
"""

import os
import statistics
import tempfile
from collections.abc import Callable
from copy import copy
from functools import partial
from pathlib import Path

from timing import keep, parser, side_by_side

from gqvae.corpus import Corpus
from gqvae.encoding import encode_corpus
from gqvae.tokenizer import load

TIMES = 24
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

        tasks = {
            "in memory, 1 process": lambda: copy(tokenizer).encode_batch(documents),
            "in memory, 2 processes": lambda: copy(tokenizer).encode_batch(documents, workers=2),
            "to shards, 1 process": lambda: to_shards(1),
            "to shards, 2 processes": lambda: to_shards(2),
        }
        worked: dict[str, list[float]] = {name: [] for name in tasks}
        timed = {name: partial(_with_work, task, worked[name]) for name, task in tasks.items()}
        seconds = side_by_side(timed, given.repeats)
    size = sum(len(document.encode()) for document in documents)
    about = f"{given.tokenizer}, {given.text.name}, {TIMES} times: {size:,} bytes"
    work = {name: statistics.median(found) for name, found in worked.items()}
    rows = [
        {
            "what": name,
            "speed, x in memory": seconds["in memory, 1 process"] / seconds[name],
            "work, x in memory": work[name] / work["in memory, 1 process"],
        }
        for name in tasks
    ]
    keep("sharding", about, rows)


def _with_work(task: Callable[[], object], worked: list[float]) -> None:
    """Note the processor seconds of a task, and of processes that it started and waited for."""
    before = sum(os.times()[:4])
    task()
    worked.append(sum(os.times()[:4]) - before)


if __name__ == "__main__":
    main()
