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
from pathlib import Path
from typing import Any

from timing import keep, tokenizers_and_texts

from gqvae.corpus import Corpus
from gqvae.names import load
from gqvae.shards import encode_corpus

TEXTS = {"wikipedia-8192": "wikipedia_train.txt", "multilingual-8192": "multilingual_train.txt"}
TIMES = 72
"""As often the text: large enough for the start of two processes not to matter."""


def main() -> None:
    repeats, texts = tokenizers_and_texts(__doc__, TEXTS)
    rows = [row for name, text in texts.items() for row in _rows(name, text, repeats)]
    keep("sharding", f"texts {TIMES} times over; speed and work are in relation to one process in memory", rows)


def _rows(name: str, text: Path, repeats: int) -> list[dict[str, Any]]:
    tokenizer, once = load(name), list(Corpus((str(text),)).documents())
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
        for _ in range(repeats):
            for (what, task), call in product(tasks.items(), ("first", "later")):
                before = once if call == "later" else []
                found.setdefault((what, call), []).append(_in_new_process(task, before, documents))
    seconds, work = ({key: statistics.median(each[by] for each in found[key]) for key in found} for by in (0, 1))
    base = "in memory, 1 process"
    return [
        {
            "tokenizer": name,
            "MB": round(sum(len(document.encode()) for document in documents) / 1e6),
            "what": what,
            "call": call,
            "speed": seconds[base, call] / seconds[what, call],
            "work": work[what, call] / work[base, call],
        }
        for what, call in found
    ]


def _in_new_process(
    task: Callable[[list[str]], object], before: list[str], documents: list[str]
) -> tuple[float, float]:
    """Seconds by the clock, and of the processors: its own, and those of processes that it started and waited for."""

    def timed() -> None:
        if before:
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
