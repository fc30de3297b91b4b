"""Text -> pretokens: the pieces that a tokenizer never looks across.

>>> split("Hello world's 123", "gpt2")
[b'Hello', b' world', b"'s", b' 123']
>>> cut("héllo".encode(), 2)
[b'h', b'\xc3\xa9', b'll', b'o']

Every split is lossless: the pieces of any str or bytes, joined, are its bytes.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain, pairwise

import regex

from gqvae.errors import GqvaeError

# The paper's patterns (its code, data/data_compiled.py: gpt2, gpt, gpt-num2, punct, whitespace). They use
# only what the `regex` module and Hugging Face's Split(Regex(...)) read alike: no possessive quantifiers, as
# "{1,3}+" differs and they gain nothing here. GPT-2's contractions are factored out: the same pieces, faster.
# The paper's r"\s+" finds nothing but the spaces; "whitespace" here is a word with the space before it.
# "sentence" is ours: up to the end of a sentence or line, with closing quotes and newlines.
_GPT4 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_GPT4_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PATTERNS: dict[str, str | None] = {
    "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "gpt4": rf"{_GPT4}|\p{{N}}{{1,3}}|{_GPT4_REST}",
    "gpt4-2digits": rf"{_GPT4}|\p{{N}}{{1,2}}|{_GPT4_REST}",
    "punct": rf" ?\p{{L}}+|\p{{N}}{{1,3}}|{_GPT4_REST}",
    "whitespace": r" ?\S+|\s+(?!\S)|\s+",
    "sentence": r"[^.!?\n]+[.!?]*[\"'”’)]*\n*|[.!?]+[\"'”’)]*\n*|\n+",
    "none": None,
}
# Patterns that keep whole words together, so that tokens may cross spaces.
_ACROSS_WORDS = ("sentence", "none")

# Letters and numbers new in Unicode 17 and 18: `regex` knows them, tokenizers 0.23 (Unicode 16) does not. So
# that both split alike they count as what they were, unassigned. A test compares all code points.
_NEWER_BELOW = (
    r"\u0558\u058b\u058c\u088f\u0c5c\u0cdc\u208f\u209d-\u209f\ua7ce\ua7cf\ua7d2\ua7d4\ua7dd\ua7e2"
    r"\ua7f1\uab6c\uab6d"
)
_NEWER_ABOVE = (
    r"\U000107bb-\U000107bf\U00010940-\U00010959\U00010ec5-\U00010ec7\U00010ed9-\U00010eee\U00011b0a"
    r"\U00011db0-\U00011ddb\U00011de0-\U00011de9\U00011df1\U0001246f\U00012475-\U0001247f"
    r"\U00012550-\U00012686\U00016ea0-\U00016eb8\U00016ebb-\U00016ed3\U00016ff2-\U00016ff6"
    r"\U000187f8-\U000187ff\U00018cd6-\U00018cda\U00018d09-\U00018d20\U00018d80-\U00018df2"
    r"\U00018e00-\U00019191\U000191a0-\U000191d2\U0001b123-\U0001b128\U0001b168\U0001d6a6"
    r"\U0001df1f-\U0001df24\U0001df2b-\U0001df81\U0001df90-\U0001df96\U0001dfcd-\U0001dfff"
    r"\U0001e6c0-\U0001e6de\U0001e6e0-\U0001e6e2\U0001e6e4\U0001e6e5\U0001e6e7-\U0001e6ed"
    r"\U0001e6f0-\U0001e6f4\U0001e6fe\U0001e6ff\U0002b73a-\U0002b73f\U0002b81e\U0002cea2-\U0002cead"
    r"\U000323b0-\U00033479\U0003d000-\U0003fc3f"
)
NEWER = re.compile(f"[{_NEWER_BELOW}{_NEWER_ABOVE}]")
# Finds 15 times faster what needs a closer look: `re` has a table up to U+FFFF and tries ranges above it in turn.
_MAYBE_NEWER = re.compile(rf"[{_NEWER_BELOW}\U00010000-\U0010ffff]")
_UNASSIGNED = "\ufdd0"  # a noncharacter: unassigned for ever, neither letter, number nor space

UNBROKEN = 1 << 24
"""The most bytes of text without a boundary that are held where text of any length is read."""

# In patterns of words a pretoken begins at a space that a non-space follows, and no match before it depends on what
# comes after that space. So text can be cut there without the pattern, which is slow, and every word remembered.
WORD_START = re.compile(r" (?=\S)")

# Places where a pattern has a boundary and the text on either side splits as it does in the whole: before a space that
# a word follows, and, where texts have no spaces, before line ends or, in patterns that join these to what precedes
# them, after. `re` counts U+001C..1F as spaces, unlike `regex`: this misses a few places and never finds a wrong one.
_BEFORE_LINES = re.compile(r" (?=\S)|(?<=\S)(?=\n)")
_AFTER_LINES = re.compile(r" (?=\S)|(?<=\n)(?=\S)")
_SAFE_CUTS = dict.fromkeys(PATTERNS, _AFTER_LINES) | {
    "gpt2": _BEFORE_LINES,
    "whitespace": _BEFORE_LINES,
    "sentence": re.compile(r"(?<=\n)(?=[^\n])"),
}


def split(text: str | bytes, pattern: str) -> list[bytes]:
    """Cut `text` into pretokens. `b"".join(split(x, p))` is x (a str's UTF-8) for every x, UTF-8 or not.

    A byte that is not UTF-8 counts as a character that is neither letter, number nor space. What a pattern
    does not match is a piece of its own, as in Hugging Face's Split. "none": the whole text is one piece.
    Raises GqvaeError for an unknown pattern, and for a str with a lone surrogate, which has no UTF-8.
    """
    if isinstance(text, bytes):
        pieces = split_text(text.decode("utf-8", "surrogateescape"), pattern)
        return [piece.encode("utf-8", "surrogateescape") for piece in pieces]
    try:
        return list(map(str.encode, split_text(text, pattern)))
    except UnicodeEncodeError as error:
        lone = error.object[error.start]
        raise GqvaeError(f"text has the lone surrogate {lone!r}, which has no UTF-8") from error


def cut(piece: bytes, window: int) -> list[bytes]:
    """Cut `piece` into parts of at most `window` bytes: before the last word that begins in the second half of the
    window, or else as late as UTF-8 boundaries allow.

    A byte that is not UTF-8 is a character of its own; a character longer than the window is cut within.
    """
    if window < 1:
        raise GqvaeError(f"window is {window} bytes; it must be at least 1")
    if len(piece) <= window:
        return [piece] if piece else []
    # As long as the piece; bytes that are not UTF-8 have become "?".
    valid = piece.decode("utf-8", "surrogateescape").encode("utf-8", "replace")
    parts, start = [], 0
    while start < len(piece):
        end = start + window
        while start < end < len(piece) and valid[end] & 0xC0 == 0x80:  # within a character
            end -= 1
        end = end if end > start else start + window
        word = piece.rfind(b" ", start + window // 2, end) if end < len(piece) else -1
        end = word if word > start and piece[word - 1] != ord(" ") else end
        parts.append(piece[start:end])
        start = end
    return parts


def begins_at_words(pattern: str) -> bool:
    """Whether a pretoken begins at every space that a non-space follows, whatever comes after."""
    return pattern not in _ACROSS_WORDS


def text_blocks(text: str, pattern: str, size: int) -> Iterator[str]:
    """Cut `text` into blocks of about `size` characters whose pieces, one after the other, are its pieces.

    A block is longer where no safe place is near, and the whole text for "none".
    """
    if compiled_pattern(pattern) is None:
        yield text
        return
    start = 0
    while found := _SAFE_CUTS[pattern].search(text, start + size):
        yield text[start : found.start()]
        start = found.start()
    yield text[start:]


def check_broken(size: int, pattern: str) -> None:
    """Raises GqvaeError where `size` bytes of text have no boundary yet and more than UNBROKEN would be held."""
    if size > UNBROKEN:
        raise GqvaeError(
            f"over {UNBROKEN:,} bytes of text without a place where the pattern {pattern!r} surely cuts: a document "
            "is encoded and counted part by part, and so long a part is refused; break it up, or into documents"
        )


def split_text(text: str, pattern: str) -> list[str]:
    """`split` without the step to bytes; lone surrogates pass."""
    compiled = compiled_pattern(pattern)
    if compiled is None:
        return [text] if text else []
    known = _MAYBE_NEWER.sub(lambda found: NEWER.sub(_UNASSIGNED, found[0]), text)
    pieces: list[str] = compiled.findall(known)
    if sum(map(len, pieces)) == len(text) and known == text:
        return pieces
    return _pieces_by_span(compiled, known, text)


def split_each(texts: Sequence[str], pattern: str) -> list[list[str]]:
    """`split_text` of each, several times as fast for many short ones."""
    compiled, whole = compiled_pattern(pattern), "".join(texts)
    if compiled and not holds_newer(whole):
        pieces = list(map(compiled.findall, texts))
        if sum(map(len, chain.from_iterable(pieces))) == len(whole):
            return pieces
    return [split_text(text, pattern) for text in texts]


def holds_newer(text: str) -> bool:
    """Whether a letter or number is in it that `tokenizers` does not know for one yet, nor do we."""
    return any(NEWER.search(found[0]) for found in _MAYBE_NEWER.finditer(text))


def _pieces_by_span(compiled: "regex.Pattern[str]", known: str, text: str) -> list[str]:
    """Cut `text` where `compiled` matches `known`, which is as long; gaps between matches are pieces."""
    bounds = [0]
    for match in compiled.finditer(known):
        bounds += match.span()
    bounds.append(len(text))
    return [text[start:end] for start, end in pairwise(bounds) if start < end]


@cache
def compiled_pattern(pattern: str) -> "regex.Pattern[str] | None":
    """The compiled regex of a named pattern, None for "none". Raises GqvaeError for an unknown name."""
    if pattern not in PATTERNS:
        raise GqvaeError(f"unknown pattern {pattern!r}; choose one of {', '.join(PATTERNS)}")
    expression = PATTERNS[pattern]
    return None if expression is None else regex.compile(expression)
