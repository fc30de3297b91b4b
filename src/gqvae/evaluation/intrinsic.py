"""What a tokenizer does to words and to the frequencies of tokens, beyond bytes per token.

A word is a longest run of characters other than white space (`str.split`), as usual for fertility, the tokens per word.
"""

import copy
import math
import re
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import accumulate
from pathlib import Path

from gqvae.corpus.documents import blocks
from gqvae.corpus.readers import read_documents
from gqvae.errors import GqvaeError
from gqvae.evaluation.metrics import Row, TokenizerLike, evaluate

WORD = re.compile(r"\S+")
SPECIAL_NAME = re.compile(rb"<[^<>\s]+>|\[[^\[\]\s]+\]")
ORDER = 2.5
"""Order of the Renyi entropy: its efficiency correlated best with translation quality (Zouhar et al. 2023)."""


class Intrinsic(Row):
    """One tokenizer on held-out text; a measure is None where there is nothing to take it of.

    tokens_per_word: all tokens over all words.

    whole_words: share of words with no end of a token inside; tokens may reach beyond the word. split_consistency: of
    words that occur twice or more, the share of occurrences that are cut inside where that word is most often cut. Both
    are None, and `note` says why, where the bytes of the tokens one by one are not the text.

    renyi_efficiency: Renyi entropy of order 2.5 of the tokens over the log of the vocabulary size, all ids counted
    (Zouhar et al. 2023, "Tokenization and the Noiseless Channel"; their package counts only used ids unless told
    otherwise). entropy_bits: Shannon entropy of a token.

    dead_ids: ids that do not occur in the training text, single bytes and special tokens aside (ids that look like
    <name> or [name], which is not encoded to them). unreachable_ids: dead ids that do not occur in the held-out text
    either, nor in the ids of what they spell; a part of a character is no text, and not among them.

    frequencies: how often each used id occurs, most frequent first. tokens_per_language, parity: of one text in several
    languages, and the most tokens over the fewest.
    """

    tokens_per_word: float | None
    whole_words: float | None
    split_consistency: float | None
    renyi_efficiency: float | None
    entropy_bits: float | None
    dead_ids: int
    unreachable_ids: int
    frequencies: list[int]
    tokens_per_language: dict[str, int] | None
    parity: float | None


def measure(
    tokenizer: TokenizerLike,
    documents: Iterable[str],
    training: Iterable[str],
    parallel: Mapping[str, str] | None = None,
) -> Intrinsic:
    """All measures of a tokenizer on held-out `documents`; ids count as dead if `training` does not have them.

    Every text is encoded once, and both may be streams.

    Args:
        parallel: one text in several languages, by language.

    Raises GqvaeError for documents without text.
    """
    observed = _Observed(tokenizer)
    row = evaluate(observed, documents)
    words, counts, size = observed.words, observed.counts.values(), tokenizer.vocab_size
    if not words.exact:
        row["note"] = "; ".join(filter(None, [row["note"], "words not measured: token by token, the bytes are others"]))
    dead = _dead_ids(tokenizer, training)
    languages = {language: len(tokenizer.encode(text)) for language, text in (parallel or {}).items()}
    fewest = min(languages.values(), default=0)
    return Intrinsic(
        **row,
        tokens_per_word=row["tokens"] / words.count if words.count else None,
        whole_words=words.share_whole(),
        split_consistency=words.consistency(),
        renyi_efficiency=renyi_entropy(counts, ORDER) / math.log(size) if counts and size > 1 else None,
        entropy_bits=shannon_entropy(counts) / math.log(2) if counts else None,
        dead_ids=len(dead),
        unreachable_ids=sum(not reached and id_ not in observed.counts for id_, reached in dead.items()),
        frequencies=sorted(counts, reverse=True),
        tokens_per_language=languages or None,
        parity=max(languages.values()) / fewest if fewest else None,
    )


class _Observed:
    """A tokenizer whose ids and words are counted as it encodes."""

    def __init__(self, tokenizer: TokenizerLike) -> None:
        self.name, self.vocab_size = tokenizer.name, tokenizer.vocab_size
        self.note: str = getattr(tokenizer, "note", "")
        self.decode_bytes = tokenizer.decode_bytes
        self._encode = tokenizer.encode
        self._bytes_of = cache(lambda id_: tokenizer.decode_bytes([id_]))
        self.counts: Counter[int] = Counter()
        self.words = _Words()

    def encode(self, text: str) -> list[int]:
        ids = self._encode(text)
        self.counts.update(ids)
        self.words.add(text, list(map(self._bytes_of, ids)))
        return ids


class _Words:
    """The words of documents, and where tokens end inside them.

    `exact` turns false when the tokens of a document do not join to its bytes: then it is unknown where they end.
    """

    def __init__(self) -> None:
        self.count = self._whole = 0
        self.exact = True
        self._cuts: defaultdict[str, Counter[tuple[int, ...]]] = defaultdict(Counter)

    def add(self, text: str, tokens: Sequence[bytes]) -> None:
        """Count the words of one document, given the bytes of its tokens. Takes time linear in both."""
        self.exact = self.exact and b"".join(tokens) == text.encode()
        ends = list(dict.fromkeys(accumulate(map(len, tokens))))
        after = place = stop = 0  # characters up to the last word's end, ends of tokens, bytes
        for match in WORD.finditer(text):
            start = stop + len(text[after : match.start()].encode())
            after, stop = match.end(), start + len(match[0].encode())
            while place < len(ends) and ends[place] <= start:
                place += 1
            first = place
            while place < len(ends) and ends[place] < stop:
                place += 1
            cuts = tuple(end - start for end in ends[first:place])
            self._cuts[match[0]][cuts] += 1
            self.count += 1
            self._whole += not cuts

    def share_whole(self) -> float | None:
        return self._whole / self.count if self.exact and self.count else None

    def consistency(self) -> float | None:
        repeated = [ways for ways in self._cuts.values() if ways.total() > 1]
        total = sum(ways.total() for ways in repeated)
        return sum(max(ways.values()) for ways in repeated) / total if self.exact and total else None


def _dead_ids(tokenizer: TokenizerLike, training: Iterable[str]) -> dict[int, bool]:
    """Ids that the training text does not have, and whether encoding what they spell gives them."""
    unseen = set(range(tokenizer.vocab_size))
    for document in training:
        unseen.difference_update(tokenizer.encode(document))
    dead = {}
    for id_ in unseen:
        token = tokenizer.decode_bytes([id_])
        reached = _comes_back(tokenizer, id_, token)
        if len(token) != 1 and (reached or not SPECIAL_NAME.fullmatch(token)):
            dead[id_] = reached
    return dead


def _comes_back(tokenizer: TokenizerLike, id_: int, token: bytes) -> bool:
    """Whether `token` encoded alone gives its id; taken for granted of a part of a character."""
    try:
        return id_ in tokenizer.encode(token.decode())
    except UnicodeDecodeError:
        return True


def renyi_entropy(counts: Collection[int], order: float) -> float:
    """In nats; `order` other than 1.

    >>> round(math.exp(renyi_entropy([5, 5, 5, 5], 2.5)), 6)
    4.0
    """
    total = sum(counts)
    return math.log(math.fsum((count / total) ** order for count in counts)) / (1 - order)


def shannon_entropy(counts: Collection[int]) -> float:
    """In nats.

    >>> round(math.exp(shannon_entropy([5, 5, 5, 5])), 6)
    4.0
    """
    total = sum(counts)
    return -math.fsum(count / total * math.log(count / total) for count in counts)


def relative_speed(
    tokenizer: TokenizerLike, reference: TokenizerLike, documents: Sequence[str], repeats: int = 5
) -> float:
    """How many times as fast as `reference` a tokenizer encodes text it has not met, one document after the other.

    In every repeat fresh copies of both read every second document, as caches are warm in the middle of a large
    corpus, and then encode the others in turn: medians of processor time. Caches know less here than there, the more
    so the shorter the text. One document is cut in two. Raises GqvaeError for less than two characters.
    """
    texts = list(filter(None, documents))
    if len(texts) == 1:
        middle = len(texts[0]) // 2
        texts = [half for half in (texts[0][:middle], texts[0][middle:]) if half]
    if len(texts) < 2:
        raise GqvaeError("there is too little text to measure speed on: give a document or more")
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(repeats):
        for each, seconds in ((tokenizer, ours), (reference, theirs)):
            fresh = copy.deepcopy(each)  # with none of what the original remembers
            _encoding_seconds(fresh, texts[1::2])
            seconds.append(_encoding_seconds(fresh, texts[::2]))
    return statistics.median(theirs) / statistics.median(ours)


def _encoding_seconds(tokenizer: TokenizerLike, texts: Iterable[str]) -> float:
    start = time.process_time()
    for text in texts:
        tokenizer.encode(text)
    return time.process_time() - start


def read_parallel(path: Path) -> dict[str, str]:
    """The texts of a .jsonl of {"language": ..., "text": ...}, by language.

    Raises GqvaeError that says where it is not such a file, or which language has no text or two.
    """
    if path.suffix.lower() != ".jsonl":
        raise GqvaeError(f'{path}: give a .jsonl with lines of {{"language": ..., "text": ...}}')
    found: dict[str, str] = {}
    for language, text in zip(_column(path, "language"), _column(path, "text"), strict=True):
        if not language or not text:
            raise GqvaeError(f"{path}: language {language!r} has the text {text[:40]!r}; neither may be empty")
        if language in found:
            raise GqvaeError(f"{path}: language {language!r} occurs twice; join its texts to one")
        found[language] = text
    if not found:
        raise GqvaeError(f"{path} holds no texts")
    return found


def _column(path: Path, key: str) -> Iterator[str]:
    for item in read_documents(str(path), None, key):
        if isinstance(item, GqvaeError):
            raise item
        yield "".join(blocks(item))
