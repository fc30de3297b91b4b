"""Time per byte of text that is hard on tokenizers, a megabyte each, in times that of ordinary text of a megabyte.

Through `encode`, and through token shards. Seconds are the processor's.
"""

import tempfile
import time
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any

from timing import keep, parser, side_by_side

from gqvae.corpus import Corpus
from gqvae.names import load
from gqvae.shards import encode_corpus
from gqvae.tokenizer import Tokenizer

SIZE = 1_000_000
HARD = {
    "one letter": "a",
    "spaces": " ",
    "newlines": "\n",
    "combining marks": "e\u0301\u0316\u0323",
    "emoji joiners": "👩\u200d👩\u200d👧\u200d👦",
    "digits": "7",
    "spaces and newlines": " \n",
    "apostrophes": "'s",
    "NUL": "\0",
}


def main() -> None:
    arguments = parser(__doc__, "tinystories_train.txt")
    arguments.add_argument("--tokenizers", nargs="+", default=["tinystories-4096", "wikipedia-8192-superword"])
    given = arguments.parse_args()
    ordinary = "".join(Corpus((str(given.text),)).documents())[:SIZE]
    texts = {"ordinary": ordinary} | {name: part * (SIZE // len(part.encode())) for name, part in HARD.items()}
    rows = [row for name in given.tokenizers for row in _rows(name, texts, given.repeats)]
    keep("worst_cases", f"1 MB each; ordinary is {given.text.name}", rows)


def _rows(name: str, texts: dict[str, str], repeats: int) -> list[dict[str, Any]]:
    tasks = {
        (case, way): partial(run, load(name), text)
        for case, text in texts.items()
        for way, run in {"encode": _encode, "shards": _to_shards}.items()
    }
    seconds = side_by_side(tasks, repeats, time.process_time)
    per_byte = {(case, way): taken / len(texts[case].encode()) for (case, way), taken in seconds.items()}
    return [
        {"tokenizer": name, "text": case}
        | {f"{way}, x ordinary": per_byte[case, way] / per_byte["ordinary", way] for way in ("encode", "shards")}
        for case in texts
    ]


def _encode(tokenizer: Tokenizer, text: str) -> None:
    copy(tokenizer).encode(text)  # the copy remembers nothing


def _to_shards(tokenizer: Tokenizer, text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        encode_corpus(copy(tokenizer), [text], Path(folder) / "shards")


if __name__ == "__main__":
    main()
