"""Token shards against encoding in memory, and two processes against one.

By the clock, and by the seconds of all processors: twice as many in the same time is what two processes can give. Each
task has a new process, as for a user: pages that an earlier one has left would be copied when it forks.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing import Pipe, get_context
from pathlib import Path

from timing import keep, parser

from gqvae.corpus import Corpus
from gqvae.encoding import encode_corpus
from gqvae.tokenizer import load

TIMES = 72
"""As often the text: large enough for the start of two processes not to matter."""


def main() -> None:
    arguments = parser(__doc__, "wikipedia_train.txt")
    arguments.add_argument("--tokenizer", default="wikipedia-8192")
    given = arguments.parse_args()
    tokenizer, corpus = load(given.tokenizer), Corpus((str(given.text),))
    documents = list(corpus.documents()) * TIMES

    with tempfile.TemporaryDirectory() as folder:

        def to_shards(workers: int) -> None:
            encode_corpus(tokenizer, documents, Path(folder) / str(os.getpid()), workers=workers)

        tasks = {
            "in memory, 1 process": lambda: tokenizer.encode_batch(documents),
            "in memory, 2 processes": lambda: tokenizer.encode_batch(documents, workers=2),
            "to shards, 1 process": lambda: to_shards(1),
            "to shards, 2 processes": lambda: to_shards(2),
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in tasks}
        for _ in range(given.repeats):
            for name, task in tasks.items():
                found[name].append(_in_new_process(task))
    size = sum(len(document.encode()) for document in documents)
    about = f"{given.tokenizer}, {given.text.name}, {TIMES} times: {size:,} bytes"
    seconds, work = ({name: statistics.median(each[by] for each in found[name]) for name in tasks} for by in (0, 1))
    rows = [
        {
            "what": name,
            "speed, x in memory": seconds["in memory, 1 process"] / seconds[name],
            "work, x in memory": work[name] / work["in memory, 1 process"],
        }
        for name in tasks
    ]
    keep("sharding", about, rows)


def _in_new_process(task: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of the processors: its own, and those of processes that it started and waited for."""

    def timed() -> None:
        before, start = sum(os.times()[:4]), time.perf_counter()
        result = task()  # held, so that freeing it is not timed
        there.send((time.perf_counter() - start, sum(os.times()[:4]) - before))
        del result

    here, there = Pipe(duplex=False)
    process = get_context("fork").Process(target=timed)
    process.start()
    there.close()  # so that it is the end if that one dies
    found: tuple[float, float] = here.recv()
    process.join()
    return found


if __name__ == "__main__":
    main()
