"""Counting pretokens against `Counter(regex.findall)`, on text as it is and on text that repeats."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

from timing import DATA, Task, keep, parser, side_by_side

from gqvae.corpus import Corpus
from gqvae.patterns import compiled_pattern
from gqvae.pretokens import PretokenTable, count_pretokens

TEXTS = ["tinystories_train.txt", "wikipedia_train.txt", "code_train.txt", "multilingual_train.txt"]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("texts", nargs="*", type=Path, default=[DATA / name for name in TEXTS])
    arguments.add_argument("--patterns", nargs="+", default=["gpt2", "gpt4"])
    arguments.add_argument("--times", nargs="+", type=int, default=[1, 10])
    given = arguments.parse_args()
    rows = [
        _row(text, pattern, times, given.repeats)
        for text in given.texts
        for pattern in given.patterns
        for times in given.times
    ]
    keep("counting", "times as fast as one process with Counter(regex.findall); cpu: by processor seconds", rows)


def _row(path: Path, pattern: str, times: int, repeats: int) -> dict[str, Any]:
    documents = list(Corpus((str(path),)).documents()) * times
    expression = compiled_pattern(pattern)
    assert expression is not None

    def plain() -> Counter[str]:
        found: Counter[str] = Counter()
        for document in documents:
            found.update(expression.findall(document))
        return found

    def ours(threads: int) -> PretokenTable:
        return count_pretokens(documents, pattern=pattern, window=1 << 20, workers=threads)

    table = ours(2)
    found = dict(zip(table.pieces, table.counts.tolist(), strict=True))
    assert found == {piece.encode(): count for piece, count in plain().items()}
    tasks = {"plain": plain, "one": lambda: ours(1), "two": lambda: ours(2)}
    seconds = side_by_side(tasks, repeats)
    processor = _processor_seconds(plain) / _processor_seconds(tasks["one"])
    megabytes = sum(len(document.encode()) for document in documents) / 1e6
    return {
        "text": path.stem,
        "times": times,
        "MB": round(megabytes, 1),
        "pattern": pattern,
        "one thread": seconds["plain"] / seconds["one"],
        "one thread, cpu": processor,
        "two threads": seconds["plain"] / seconds["two"],
    }


def _processor_seconds(task: Task) -> float:
    before = os.times()
    task()
    after = os.times()
    return after.user + after.system - before.user - before.system


if __name__ == "__main__":
    main()
