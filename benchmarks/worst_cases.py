"""Time per byte of text that is hard on tokenizers, a megabyte each, in times that of ordinary text of a megabyte."""

from copy import copy
from functools import partial
from typing import Any

from timing import keep, parser, side_by_side

from gqvae.corpus import Corpus
from gqvae.tokenizer import Tokenizer, load

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
    rows = [row for name in given.tokenizers for row in _rows(name, texts)]
    keep("worst_cases", f"1 MB each; ordinary is {given.text.name}", rows)


def _rows(name: str, texts: dict[str, str]) -> list[dict[str, Any]]:
    seconds = side_by_side({case: partial(_encode_afresh, load(name), text) for case, text in texts.items()}, 3)
    per_byte = {case: taken / len(texts[case].encode()) for case, taken in seconds.items()}
    return [
        {"tokenizer": name, "text": case, "x ordinary": taken / per_byte["ordinary"]}
        for case, taken in per_byte.items()
    ]


def _encode_afresh(tokenizer: Tokenizer, text: str) -> None:
    copy(tokenizer).encode(text)  # the copy remembers nothing


if __name__ == "__main__":
    main()
