"""Splitting, cutting and counting, each against a slow obvious twin and against Hugging Face's own split."""

import os
import random
import string
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy
import pyarrow
import pyarrow.parquet
import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gqvae.corpus import Corpus, is_held_out
from gqvae.documents import LongDocument
from gqvae.errors import GqvaeError
from gqvae.patterns import NEWER, _pieces_by_span, split_text, text_blocks
from gqvae.pretokens import PATTERNS, Counting, PretokenTable, count_pretokens, cut, split
from gqvae.pretokens.batches import safe_blocks
from gqvae.pretokens.pieces import Counts
from gqvae.pretokens.tally import LEAST_MEMORY, MEMORY, Tally

NAMES = sorted(PATTERNS)
REGEXES = [name for name in NAMES if PATTERNS[name] is not None]
DATA = Path(os.environ.get("GQVAE_DATA", Path(__file__).parents[2] / "shared" / "data"))

# What patterns treat specially is rare in random Unicode, so half of the texts are made of it.
AWKWARD = [
    "'",
    "'s",
    "'LL",
    "'ſ",
    " ",
    "  ",
    "\n",
    "\r\n",
    "\t",
    "\u00a0",
    "\x1c",
    "\x85",
    "\u3000",
    "12",
    "1234",
    "٣",
]
AWKWARD += [
    "½",
    "a",
    "Zé",
    "中文",
    "e\u0301",
    "\u200d",
    "👩\u200d🚀",
    "<|endoftext|>",
    "\0",
    "\ufeff",
    "...",
    "_",
]
AWKWARD += ["\u088f", "\U0003d000"]  # letters of Unicode 17 and 18
texts = st.one_of(st.text(), st.lists(st.sampled_from(AWKWARD), max_size=12).map("".join))
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


# ---- counting


def some_documents(number: int, seed: int = 0) -> list[str]:
    chance = random.Random(seed)
    words = ["".join(chance.choices(string.ascii_lowercase, k=chance.randint(1, 24))) for _ in range(500)]
    return [" ".join(chance.choices([*words, *AWKWARD], k=chance.randint(1, 400))) for _ in range(number)]


@pytest.mark.parametrize("pattern", NAMES)
@settings(deadline=None)
@given(documents=st.lists(texts, max_size=6), window=st.integers(1, 20))
def test_count_equals_counting_one_by_one(pattern: str, documents: list[str], window: int) -> None:
    table = count_pretokens(documents, pattern=pattern, window=window)
    twin = Counter(part for text in documents for piece in split(text, pattern) for part in cut(piece, window))
    assert dict(zip(table.pieces, table.counts.tolist(), strict=True)) == twin
    ranks = [(-count, piece) for piece, count in zip(table.pieces, table.counts.tolist(), strict=True)]
    assert ranks == sorted(ranks)
    assert table.total_count == sum(twin.values())
    assert table.total_bytes == table.provenance["bytes"] == sum(len(text.encode()) for text in documents)
    assert table.provenance["documents"] == len(documents)


@settings(deadline=None)
@given(documents=st.lists(texts, max_size=6), window=st.integers(1, 20))
def test_recutting_counts_the_same_text_in_smaller_pieces(documents: list[str], window: int) -> None:
    table = count_pretokens(documents, pattern="sentence", window=1 << 16)
    again = table.recut("gpt2", window)
    sentences = [piece for document in documents for piece in split(document, "sentence")]
    counts = Counter(part for piece in sentences for word in split(piece, "gpt2") for part in cut(word, window))
    assert dict(zip(again.pieces, again.counts.tolist(), strict=True)) == counts
    assert (again.pattern, again.window, again.provenance) == ("gpt2", window, table.provenance)
    again._check()


def test_workers_and_block_size_do_not_change_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [*some_documents(200), " ".join(some_documents(40, seed=1))]
    counted: list[int] = []
    alone = count_pretokens(documents, pattern="gpt2", window=16, progress=counted.append)
    assert sum(counted) == alone.total_bytes
    monkeypatch.setattr("gqvae.pretokens.batches._BLOCK", 10_000)  # many batches, the last document in many blocks
    monkeypatch.setattr("gqvae.pretokens.batches._BATCH", 50_000)
    monkeypatch.setattr("gqvae.pretokens.tally._PENDING", 1_000)
    shared = count_pretokens(iter(documents), pattern="gpt2", window=16, workers=2)
    alone.save(tmp_path / "alone.parquet")
    shared.save(tmp_path / "shared.parquet")
    assert (tmp_path / "alone.parquet").read_bytes() == (tmp_path / "shared.parquet").read_bytes()


@pytest.mark.parametrize("rows", [1 << 20, 100])
def test_what_outgrows_memory_goes_to_disk_and_comes_out_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    for module in ("table", "tally"):
        monkeypatch.setattr(f"gqvae.pretokens.{module}.ROWS", rows)
    monkeypatch.setattr("gqvae.pretokens.batches._BATCH", 50_000)
    documents = [*some_documents(300), *some_documents(300, seed=1)]
    count_pretokens(documents, pattern="gpt2", window=16).save(tmp_path / "memory.parquet")
    spilled: list[Tally] = []
    spill = Tally._spill
    monkeypatch.setattr(Tally, "_spill", lambda self: (spilled.append(self), spill(self)))
    monkeypatch.setattr("gqvae.pretokens.tally._SHARE", 5_000)
    folder = tmp_path / "it's [a] *"
    Counting(memory=LEAST_MEMORY).to_file(documents, folder / "disk.parquet", "gpt2", 16)
    assert len(spilled) > 1
    assert (tmp_path / "memory.parquet").read_bytes() == (folder / "disk.parquet").read_bytes()
    assert [path.name for path in folder.iterdir()] == ["disk.parquet"]


def test_a_long_document_is_counted_and_set_aside_from_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("documents.LONG", 10_000), ("documents._BLOCK", 3_000), ("readers._LINE", 1_000)):
        monkeypatch.setattr(f"gqvae.{name}", value)
    documents = [*some_documents(20), " ".join(some_documents(40, seed=1)), "日本語" * 9_000]
    (tmp_path / "a.txt").write_text("\n<|endoftext|>\n".join(documents), newline="")
    corpus = Corpus((str(tmp_path / "a.txt"),))
    whole, streamed = list(corpus.documents()), list(corpus.streamed())
    assert sum(isinstance(document, LongDocument) for document in streamed) == 2
    for pattern in NAMES:
        tables = [count_pretokens(read, pattern=pattern, window=16) for read in (whole, streamed)]
        assert tables[0].pieces == tables[1].pieces
        assert tables[0].counts.tolist() == tables[1].counts.tolist()
        assert tables[0].provenance == tables[1].provenance
    for share in (0.3, 0.5, 0.7):
        assert [is_held_out(text, share) for text in whole] == [is_held_out(text, share) for text in streamed]


def test_too_little_memory_and_a_failing_engine_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GqvaeError, match="399,999,999 bytes of memory are too few to count in"):
        Counting(memory=LEAST_MEMORY - 1).table([], "gpt2", 16)
    monkeypatch.setattr("gqvae.pretokens.tally._SHARE", 10**9)  # everything goes to disk
    spill = Tally._spill

    def damage(self: Tally) -> None:
        spill(self)
        assert self._spilled
        next(self._spilled._dealt.rglob("*.parquet")).write_bytes(b"nothing")

    monkeypatch.setattr(Tally, "_spill", damage)
    with pytest.raises(GqvaeError, match="adding up what was counted failed"):
        Counting().table(["some text"], "gpt2", 16)


def test_memory_for_counting_is_by_default_half_of_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for there_is, memory in ((None, MEMORY), (10**12, MEMORY), (10**9, 5 * 10**8), (10**6, LEAST_MEMORY)):
        monkeypatch.setattr("gqvae.machine.memory", lambda there_is=there_is: there_is)
        assert Tally()._memory == Tally(memory)._memory


def test_the_corpus_hash_sees_order_and_document_ends() -> None:
    def hash_of(*documents: str) -> str:
        return str(count_pretokens(documents, pattern="gpt2", window=16).provenance["corpus_sha256"])

    assert len({hash_of("ab", "c"), hash_of("a", "bc"), hash_of("abc"), hash_of("c", "ab")}) == 4


def test_a_lone_surrogate_is_refused_and_located() -> None:
    with pytest.raises(GqvaeError, match="document 2 has the lone surrogate"):
        count_pretokens(["fine", "not \ud800"], pattern="gpt2", window=16)


def test_counts_add_up_to_what_64_bits_hold_and_no_further() -> None:
    def counts(*each: int) -> Counts:
        return Counts(pyarrow.array([b"a"] * len(each), pyarrow.large_binary()), numpy.array(each))

    tally = Tally()
    for found in (counts(2**62), counts(2**62 - 1 - 2**33, 2**33 - 1), counts(1)):
        tally.add(found)
    assert next(tally.rows()).to_pylist() == [{"piece": b"a", "count": 2**63 - 1}]
    with pytest.raises(GqvaeError, match="9223372036854775808 pretokens are more than a count of 64 bits holds"):
        tally.add(counts(1))
    with pytest.raises(GqvaeError, match="64 bits"):
        Tally().add(counts(2**62, 2**62))


def test_table_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "pretokens.parquet"
    table = count_pretokens(["a \0 b", "\ufeffa\r\n", "日本語" * 9], pattern="gpt4", window=16)
    table.save(path)
    back = PretokenTable.load(path)
    assert (back.pieces, back.counts.tolist()) == (table.pieces, table.counts.tolist())
    assert (back.pattern, back.window, back.provenance) == ("gpt4", 16, table.provenance)
    count_pretokens([], pattern="gpt2", window=4).save(path)
    assert PretokenTable.load(path).pieces == []


def test_damaged_tables_are_refused(tmp_path: Path) -> None:
    import dataclasses

    path = tmp_path / "pretokens.parquet"
    table = count_pretokens(["to go, to go"], pattern="gpt2", window=16)
    damaged: list[dict[str, Any]] = [
        {"pieces": table.pieces[::-1]},
        {"pieces": [table.pieces[0]] * len(table.pieces)},
        {"pieces": [b"", *table.pieces[1:]]},
        {"counts": table.counts - 1},
        {"window": 2},
        {"window": "16"},
        {"pattern": "unknown"},
        {"provenance": {}},
        {"provenance": {"bytes": 1}},
    ]
    for change in damaged:
        dataclasses.replace(table, **change).save(path)
        with pytest.raises(GqvaeError, match=r"pretokens\.parquet is not a pretoken table"):
            PretokenTable.load(path)
    table.save(path)
    columns = pyarrow.parquet.read_table(path)
    narrow = columns.set_column(1, "count", columns["count"].cast(pyarrow.int32()))
    pyarrow.parquet.write_table(narrow, tmp_path / "narrow.parquet")
    with pytest.raises(GqvaeError, match="counts of type int32"):
        PretokenTable.load(tmp_path / "narrow.parquet")
    path.write_bytes(path.read_bytes()[:-10])
    for unreadable in (path, tmp_path / "missing.parquet"):
        with pytest.raises(GqvaeError, match="is not a pretoken table"):
            PretokenTable.load(unreadable)


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
