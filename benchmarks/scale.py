"""What counting and encoding take as the corpus grows: processor seconds, beside a plain count, and peak memory.

*Repeated* text is a file again and again: a corpus whose words have all been seen. *Fresh* text is made of a billion
words, each as frequent as 1 over its rank, so that new ones keep coming: more of them than any natural text has.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy
from timing import keep, parser

WORDS = 1e9
PLAIN_MB = 100  # the most that the plain count, whose memory grows faster, is given
PLAIN = """
import sys
from collections import Counter
from gqvae.corpus import Corpus
from gqvae.patterns import compiled_pattern
counts = Counter()
for document in Corpus((sys.argv[1],)).documents():
    counts.update(compiled_pattern("gpt2").findall(document))
"""


def main() -> None:
    arguments = parser(__doc__, "wikipedia_train.txt")
    arguments.add_argument("--megabytes", nargs="+", type=int, default=[1, 10, 100, 1000])
    arguments.add_argument("--encode-megabytes", type=int, default=100, help="encode no more than that")
    arguments.add_argument("--tokenizer", default="wikipedia-8192")
    arguments.add_argument("--memory", default="500MB", help="for counting")
    given = arguments.parse_args()
    rows = [
        row
        for kind in ("repeated", "fresh")
        for size in given.megabytes
        for row in _rows(kind, size, given.text, given.tokenizer, given.memory, size <= given.encode_megabytes)
    ]
    about = f"repeated: {given.text.name}; encoding by {given.tokenizer}; counting with --memory {given.memory}"
    keep("scale", f"processor seconds and peak resident memory of whole commands; {about}", rows)


def _rows(kind: str, size: int, text: Path, tokenizer: str, memory: str, encode: bool) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpus = folder / "corpus.txt"
        write(corpus, size * 1_000_000, repeated(text) if kind == "repeated" else fresh())
        gqvae, threads = [sys.executable, "-m", "gqvae"], ["--workers", "2"]
        table = folder / "table.parquet"
        tasks = {"count": [*gqvae, "count", str(corpus), "--out", str(table), "--memory", memory, *threads]}
        if encode:
            tasks["encode"] = [*gqvae, "encode", tokenizer, str(corpus), "--out", str(folder / "shards"), *threads]
        if size <= PLAIN_MB:
            tasks["Counter(regex.findall)"] = [sys.executable, "-c", PLAIN, str(corpus)]
        for task, command in tasks.items():
            seconds, megabytes = measured(command)
            row = {"text": kind, "MB": size, "task": task, "cpu s": seconds, "MB per cpu s": size / seconds}
            yield row | {"peak MB": round(megabytes)}


def write(path: Path, size: int, parts: Iterator[bytes]) -> None:
    """The first `size` bytes of the parts, cut before a space."""
    with path.open("wb") as file:
        while file.tell() < size:
            part = next(parts)
            rest = size - file.tell()
            file.write(part if len(part) <= rest else part[: max(0, part.rfind(b" ", 0, rest))] + b"\n")


def repeated(text: Path) -> Iterator[bytes]:
    return cycle([text.read_bytes()])


def fresh(words: int = 1_000_000, seed: int = 0) -> Iterator[bytes]:
    """Parts of so many words, a document of some hundred KB each; a word is spelled by the digits of its rank."""
    chance = numpy.random.default_rng(seed)
    while True:
        ranks = numpy.exp(chance.random(words) * numpy.log(WORDS)).astype(numpy.int64)
        lengths = 1 + sum((ranks >= 26**power).astype(numpy.int64) for power in range(1, 7))
        ends = numpy.cumsum(lengths + 1)
        text = numpy.full(ends[-1], ord(" "), numpy.uint8)
        text[ends[chance.random(words) < 1 / 15] - 1] = ord("\n")
        for digit in range(7):
            long = lengths > digit
            text[(ends - lengths - 1)[long] + digit] = ord("a") + ranks[long] // 26**digit % 26
        for start in range(0, len(text), 300_000):
            yield text[start : start + 300_000].tobytes() + b"\n<|endoftext|>\n"


def measured(command: list[str]) -> tuple[float, float]:
    """Processor seconds of a command and the processes it starts, and the most memory in MB that one of them had."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert process.stderr
    said = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)}: {said}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


if __name__ == "__main__":
    main()
