"""Token shards against encoding in memory, and two processes against one.

By the clock, and by the seconds of all processors: twice as many in the same time is what two processes can give. Each
task has a new process, as for a user: pages that an earlier one has left would be copied when it forks. A first call
loads libraries, makes tables and meets every word for the first time; what later ones give is timed after one of a
single text.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from multiprocessing import Pipe, get_context

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
    once = list(corpus.documents())
    documents = once * TIMES

    with tempfile.TemporaryDirectory() as folder:

        def to_shards(documents: list[str], workers: int) -> None:
            encode_corpus(tokenizer, documents, tempfile.mkdtemp(dir=folder), workers=workers)

        tasks: dict[str, Callable[[list[str]], object]] = {
            "in memory, 1 process": tokenizer.encode_batch,
            "in memory, 2 processes": partial(tokenizer.encode_batch, workers=2),
            "to shards, 1 process": partial(to_shards, workers=1),
            "to shards, 2 processes": partial(to_shards, workers=2),
        }
        found: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for _ in range(given.repeats):
            for (name, task), call in product(tasks.items(), ("first", "later")):
                before = once if call == "later" else []
                found.setdefault((name, call), []).append(_in_new_process(task, before, documents))
    size = sum(len(document.encode()) for document in documents)
    about = f"{given.tokenizer}, {given.text.name}, {TIMES} times: {size:,} bytes"
    seconds, work = ({key: statistics.median(each[by] for each in found[key]) for key in found} for by in (0, 1))
    base = "in memory, 1 process"
    rows = [
        {
            "what": name,
            "call": call,
            "speed, x in memory": seconds[base, call] / seconds[name, call],
            "work, x in memory": work[name, call] / work[base, call],
        }
        for name, call in found
    ]
    keep("sharding", about, rows)


def _in_new_process(
    task: Callable[[list[str]], object], before: list[str], documents: list[str]
) -> tuple[float, float]:
    """Seconds by the clock, and of the processors: its own, and those of processes that it started and waited for."""

    def timed() -> None:
        task(before)
        work, start = sum(os.times()[:4]), time.perf_counter()
        result = task(documents)  # held, so that freeing it is not timed
        there.send((time.perf_counter() - start, sum(os.times()[:4]) - work))
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
