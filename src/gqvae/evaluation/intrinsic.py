"""What a tokenizer does to words and to the frequencies of tokens, beyond bytes per token.

A word is a longest run of characters other than white space, the unit of fertility (tokens per word) in the literature.
"""

import json
import math
import re
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path

from gqvae.errors import GqvaeError
from gqvae.evaluation.metrics import Row, TokenizerLike, evaluate

WORD = re.compile(rb"\S+")
SPECIAL_NAME = re.compile(r"<\|?\w+\|?>")
ORDER = 2.5
"""Of the Renyi entropy; the order whose efficiency went with translation quality (Zouhar et al. 2023)."""


class Intrinsic(Row):
    """One tokenizer on held-out text; None where there are no words, or where tokens do not spell the text.

    tokens_per_word: all tokens over all words. whole_words: share of words with no end of a token inside.
    split_consistency: of words that occur twice or more, the share of occurrences that are cut where that word is most
    often cut. renyi_efficiency: Renyi entropy of order 2.5 of the tokens over the log of the vocabulary size (Zouhar et
    al. 2023, "Tokenization and the Noiseless Channel", section 4). entropy_bits: Shannon entropy of the tokens.
    dead_ids: ids that do not occur in the training text, single bytes and special tokens aside. unreachable_ids: dead
    ids that do not occur in the held-out text, and not even in the ids of what they spell themselves. frequencies: how
    often each used id occurs, most frequent first. tokens_per_language, parity: of one text in several languages, and
    the most tokens over the fewest.
    """

    tokens_per_word: float | None
    whole_words: float | None
    split_consistency: float | None
    renyi_efficiency: float
    entropy_bits: float
    dead_ids: int
    unreachable_ids: int
    frequencies: list[int]
    tokens_per_language: dict[str, int] | None
    parity: float | None


def measure(
    tokenizer: TokenizerLike,
    documents: Sequence[str],
    training: Iterable[str],
    parallel: Mapping[str, str] | None = None,
) -> Intrinsic:
    """All measures of a tokenizer on held-out `documents`; ids count as dead if `training` does not have them.

    Args:
        parallel: one text in several languages, by language.

    Raises GqvaeError for documents without text.
    """
    row = evaluate(tokenizer, documents)
    counts: Counter[int] = Counter()
    words = _Words()
    for document in documents:
        ids = tokenizer.encode(document)
        counts.update(ids)
        if row["lossless"]:
            words.add(document.encode(), [len(tokenizer.decode_bytes([id_])) for id_ in ids])
    dead = set(range(tokenizer.vocab_size)).difference(*map(tokenizer.encode, training))
    spelled = {id_: text for id_ in dead if (text := _text_of(tokenizer, id_))}
    languages = {language: len(tokenizer.encode(text)) for language, text in (parallel or {}).items()}
    return Intrinsic(
        **row,
        tokens_per_word=row["tokens"] / words.count if words.count else None,
        whole_words=words.whole / words.count if words.count else None,
        split_consistency=words.consistency(),
        renyi_efficiency=renyi_entropy(counts.values(), ORDER) / math.log(tokenizer.vocab_size),
        entropy_bits=shannon_entropy(counts.values()) / math.log(2),
        dead_ids=len(spelled),
        unreachable_ids=sum(id_ not in counts and id_ not in tokenizer.encode(spelled[id_]) for id_ in spelled),
        frequencies=sorted(counts.values(), reverse=True),
        tokens_per_language=languages or None,
        parity=max(languages.values()) / min(languages.values()) if languages else None,
    )


def _text_of(tokenizer: TokenizerLike, id_: int) -> str | None:
    """What an id spells; None for a single byte or less, a part of a character, and the name of a special token."""
    token = tokenizer.decode_bytes([id_])
    try:
        text = token.decode()
    except UnicodeDecodeError:
        return None
    return None if len(token) < 2 or SPECIAL_NAME.fullmatch(text) else text


class _Words:
    """The words of documents, and where tokens end inside them."""

    def __init__(self) -> None:
        self.count = self.whole = 0
        self._cuts: defaultdict[bytes, Counter[tuple[int, ...]]] = defaultdict(Counter)

    def add(self, data: bytes, lengths: Sequence[int]) -> None:
        """One document, and the bytes of each of its tokens."""
        ends = list(accumulate(lengths))
        place = 0
        for match in WORD.finditer(data):
            start, stop = match.span()
            while place < len(ends) and ends[place] <= start:
                place += 1
            first = place
            while place < len(ends) and ends[place] < stop:
                place += 1
            cuts = tuple(end - start for end in ends[first:place])
            self._cuts[match[0]][cuts] += 1
            self.count += 1
            self.whole += not cuts

    def consistency(self) -> float | None:
        repeated = [ways for ways in self._cuts.values() if ways.total() > 1]
        total = sum(ways.total() for ways in repeated)
        return sum(max(ways.values()) for ways in repeated) / total if total else None


def renyi_entropy(counts: Iterable[int], order: float) -> float:
    """In nats; `order` other than 1.

    >>> round(math.exp(renyi_entropy([5, 5, 5, 5], 2.5)), 6)
    4.0
    """
    counts = list(counts)
    total = sum(counts)
    return math.log(math.fsum((count / total) ** order for count in counts)) / (1 - order)


def shannon_entropy(counts: Iterable[int]) -> float:
    """In nats.

    >>> round(math.exp(shannon_entropy([5, 5, 5, 5])), 6)
    4.0
    """
    counts = list(counts)
    total = sum(counts)
    return -math.fsum(count / total * math.log(count / total) for count in counts)


def relative_speed(
    tokenizer: TokenizerLike, reference: TokenizerLike, documents: Sequence[str], repeats: int = 3
) -> float:
    """How many times as fast as `reference` a tokenizer encodes the documents: medians of runs in turn, in this
    process.

    Both have seen text of that kind before, as in the middle of a large corpus: what is remembered counts.
    """
    seconds: dict[int, list[float]] = {0: [], 1: []}
    for _ in range(repeats + 1):
        for number, each in enumerate((tokenizer, reference)):
            start = time.perf_counter()
            for document in documents:
                each.encode(document)
            seconds[number].append(time.perf_counter() - start)
    ours, theirs = (statistics.median(times[1:]) for times in seconds.values())
    return theirs / ours


def read_parallel(path: Path) -> dict[str, str]:
    """The texts of a .jsonl of {"language": ..., "text": ...}, by language. Raises GqvaeError that names the line."""
    found: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise GqvaeError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            language, text = row["language"], row["text"]
        except (ValueError, KeyError, TypeError) as error:
            raise GqvaeError(f'{path}:{number}: not a line of {{"language": ..., "text": ...}}: {error}') from error
        if not (isinstance(language, str) and isinstance(text, str) and text) or language in found:
            raise GqvaeError(f"{path}:{number}: needs a language that is new and a text")
        found[language] = text
    return found
