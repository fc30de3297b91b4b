"""Splitting and cutting, each against a slow obvious twin and against Hugging Face's own split."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import regex
from hypothesis import example, given
from hypothesis import strategies as st
from splitting import NAMES, texts

from gqvae.errors import GqvaeError
from gqvae.patterns import NEWER, PATTERNS, _pieces_by_span, cut, split, split_text, text_blocks
from gqvae.pretokens.batches import safe_blocks

REGEXES = [name for name in NAMES if PATTERNS[name] is not None]
DATA = Path(os.environ.get("GQVAE_DATA", Path(__file__).parents[2] / "shared" / "data"))

blobs = st.one_of(st.binary(), st.lists(st.one_of(texts.map(str.encode), st.binary(max_size=3))).map(b"".join))


def slow_split(text: str, pattern: str) -> list[bytes]:
    """One match at a time; what lies between is a piece of its own. Newer letters count as unassigned."""
    known = "".join("\ufdd0" if NEWER.match(c) else c for c in text)
    pieces, position, expression = [], 0, PATTERNS[pattern]
    while position < len(text):
        match = regex.compile(expression or r"(?s:.+)").search(known, position)
        start, end = match.span() if match else (len(text), len(text))
        pieces += [text[position:start], text[start:end]]
        position = end
    return [piece.encode("utf-8", "surrogateescape") for piece in pieces if piece]


def slow_cut(piece: bytes, window: int) -> list[bytes]:
    """The part that ends before the last word to begin late in the window, else the longest that ends between two
    characters, else `window` bytes, again and again."""

    def between(end: int) -> bool:
        def text(data: bytes) -> str:
            return data.decode("utf-8", "surrogateescape")

        return text(piece[:end]) + text(piece[end:]) == text(piece)

    parts, start = [], 0
    while start < len(piece):
        ends = [end for end in range(start + 1, min(start + window, len(piece)) + 1) if between(end)]
        end = max(ends, default=start + window)
        spaces = [at for at in range(max(start + 1, start + window // 2), end) if piece[at : at + 1] == b" "]
        if end < len(piece) and spaces and piece[spaces[-1] - 1 : spaces[-1]] != b" ":
            end = spaces[-1]
        parts.append(piece[start:end])
        start = end
    return parts


@pytest.mark.parametrize("pattern", NAMES)
@given(text=texts)
def test_split_of_text_is_lossless_and_equals_the_slow_twin(pattern: str, text: str) -> None:
    pieces = split(text, pattern)
    assert b"".join(pieces) == text.encode()
    assert b"" not in pieces
    assert pieces == slow_split(text, pattern) == split(text.encode(), pattern)


@pytest.mark.parametrize("pattern", NAMES)
@given(blob=blobs)
@example(blob=bytes(range(256)))
def test_split_of_bytes_is_lossless_and_equals_the_slow_twin(pattern: str, blob: bytes) -> None:
    pieces = split(blob, pattern)
    assert b"".join(pieces) == blob
    assert pieces == slow_split(blob.decode("utf-8", "surrogateescape"), pattern)


@pytest.mark.parametrize("pattern", REGEXES)
@given(text=texts)
def test_split_equals_hugging_face(pattern: str, text: str) -> None:
    assert [piece.decode() for piece in split(text, pattern)] == hugging_face(pattern, text)


@given(text=texts)
def test_gpt2_equals_the_regex_inside_byte_level(text: str) -> None:
    from tokenizers import pre_tokenizers

    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    offsets = [span for _, span in level.pre_tokenize_str(text)]
    assert [piece.decode() for piece in split(text, "gpt2")] == [text[start:end] for start, end in offsets]


@pytest.mark.parametrize("category", [r"\s", r"\p{L}", r"\p{N}"])
def test_every_code_point_is_of_the_category_hugging_face_says(category: str) -> None:
    """Unicode versions differ: what the patterns ask of a character must have one answer in both engines."""
    from tokenizers import Regex, pre_tokenizers

    points = "".join(chr(point) for point in range(0x110000) if not 0xD800 <= point < 0xE000)
    remove = pre_tokenizers.Split(Regex(category), behavior="removed")
    theirs = set(points) - set("".join(piece for piece, _ in remove.pre_tokenize_str(points)))
    ours = set(regex.findall(category, NEWER.sub("", points)))
    assert sorted(map(hex, map(ord, ours ^ theirs))) == []


def hugging_face(pattern: str, text: str) -> list[str]:
    from tokenizers import Regex, pre_tokenizers

    expression = PATTERNS[pattern]
    assert expression is not None
    splitter = pre_tokenizers.Split(Regex(expression), behavior="isolated")
    return [piece for piece, _ in splitter.pre_tokenize_str(text)]


@pytest.mark.parametrize(
    ("pattern", "pieces"),
    [
        ("gpt2", ["It", "'s", " 12345", "  ", " (", "a", "_", "b", ")!", "\n", "\n", "DON", "'", "T"]),
        ("gpt4", ["It", "'s", " ", "123", "45", "  ", " (", "a", "_b", ")!\n\n", "DON", "'T"]),
        ("gpt4-2digits", ["It", "'s", " ", "12", "34", "5", "  ", " (", "a", "_b", ")!\n\n", "DON", "'T"]),
        ("punct", ["It", "'", "s", " ", "123", "45", "  ", " (", "a", "_", "b", ")!\n\n", "DON", "'", "T"]),
        ("whitespace", ["It's", " 12345", "  ", " (a_b)!", "\n", "\n", "DON'T"]),
        ("none", ["It's 12345   (a_b)!\n\nDON'T"]),
    ],
)
def test_worked_examples(pattern: str, pieces: list[str]) -> None:
    assert split("".join(pieces), pattern) == [piece.encode() for piece in pieces]
    assert split("", pattern) == []


def test_what_a_pattern_leaves_out_is_kept() -> None:
    assert _pieces_by_span(regex.compile(r"b+"), "aabbc", "aabbc") == ["aa", "bb", "c"]


def test_bad_arguments_are_named() -> None:
    with pytest.raises(GqvaeError, match=r"unknown pattern 'gpt5'.*gpt2"):
        split("a", "gpt5")
    with pytest.raises(GqvaeError, match=r"lone surrogate '\\udc80'"):
        split("a\udc80", "gpt2")
    with pytest.raises(GqvaeError, match="window is 0"):
        cut(b"a", 0)


@pytest.mark.parametrize("pattern", NAMES)
@pytest.mark.parametrize("unit", ["a", " ", "\n", "\u0301", "👩\u200d", "'", "1", "中"])
def test_long_runs_split_and_cut(pattern: str, unit: str) -> None:
    text = unit * 100_000
    pieces = split(text, pattern)
    assert b"".join(pieces) == text.encode()
    assert b"".join(part for piece in pieces for part in cut(piece, 16)) == text.encode()


def test_a_long_sentence_is_cut_before_a_word() -> None:
    assert cut(b"The cat sat on the mat.", 12) == [b"The cat sat", b" on the mat."]
    assert cut(b"aaaaaaaa bbbbbbbb", 8) == [b"aaaaaaaa", b" bbbbbbb", b"b"]


@given(piece=blobs, window=st.integers(1, 9))
def test_cut_equals_the_slow_twin(piece: bytes, window: int) -> None:
    parts = cut(piece, window)
    assert b"".join(parts) == piece
    assert all(1 <= len(part) <= window for part in parts)
    assert parts == slow_cut(piece, window)


@pytest.mark.parametrize("pattern", NAMES)
@given(text=texts, size=st.integers(1, 8))
@example(text="0\r\r0", size=2)  # the second part begins with white space that belongs to a longer run
@example(text="00\r\r0", size=3)
def test_safe_blocks_change_no_piece(pattern: str, text: str, size: int) -> None:
    parts = [text[start : start + size].encode() for start in range(0, len(text), size)]
    blocks = list(safe_blocks(parts, pattern))
    assert b"".join(blocks) == text.encode()
    assert [piece for block in blocks for piece in split(block, pattern)] == split(text, pattern)
    blocks = list(text_blocks(text, pattern, size))
    assert "".join(blocks) == text
    assert [piece for block in blocks for piece in split(block, pattern)] == split(text, pattern)


@pytest.mark.parametrize("pattern", [name for name in PATTERNS if name != "none"])
@pytest.mark.parametrize("between", ["\n", "\n\n"])
def test_text_without_spaces_is_cut_at_its_lines(pattern: str, between: str) -> None:
    blocks = list(text_blocks(between.join(["天地玄黃，宇宙洪荒。"] * 100), pattern, 50))
    assert max(map(len, blocks)) < 80


def test_splitting_needs_no_numpy() -> None:
    code = "import sys, gqvae.pretokens as p; p.split('a', 'gpt2'); print({'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("name", ["multilingual_train.txt", "code_train.txt", "emoji_list.txt"])
@pytest.mark.parametrize("pattern", REGEXES)
def test_real_text_splits_as_in_hugging_face(name: str, pattern: str) -> None:
    if not (DATA / name).exists():
        pytest.skip("no data folder")
    text = (DATA / name).read_bytes()[:300_000].decode("utf-8", "ignore")
    pieces = split_text(text, pattern)
    assert pieces == hugging_face(pattern, text)
    assert all(first and second for first, second in pairwise(pieces))
