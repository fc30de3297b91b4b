"""Counting pretokens in two processes against `Counter(regex.findall)` in one, and the memory that it takes."""

from collections import Counter

from timing import keep, parser, side_by_side

from gqvae.corpus import Corpus
from gqvae.patterns import compiled_pattern
from gqvae.pretokens import count_pretokens

TIMES = 20


def main() -> None:
    arguments = parser(__doc__, "tinystories_train.txt")
    arguments.add_argument("--pattern", default="gpt2")
    given = arguments.parse_args()
    documents = list(Corpus((str(given.text),)).documents()) * TIMES
    expression = compiled_pattern(given.pattern)
    assert expression is not None

    def plain() -> Counter[str]:
        found: Counter[str] = Counter()
        for document in documents:
            found.update(expression.findall(document))
        return found

    def ours(workers: int) -> dict[bytes, int]:
        table = count_pretokens(documents, pattern=given.pattern, window=1 << 20, workers=workers)
        return dict(zip(table.pieces, table.counts.tolist(), strict=True))

    assert ours(2) == {piece.encode(): count for piece, count in plain().items()}
    tasks = {"Counter(regex.findall)": plain, "gqvae, one process": lambda: ours(1), "gqvae, two": lambda: ours(2)}
    seconds = side_by_side(tasks, given.repeats)
    rows = [{"what": name, "x plain": seconds["Counter(regex.findall)"] / taken} for name, taken in seconds.items()]
    size = sum(len(document.encode()) for document in documents)
    keep("counting", f"{given.text.name}, {TIMES} times: {size:,} bytes, pattern {given.pattern}", rows)


if __name__ == "__main__":
    main()
