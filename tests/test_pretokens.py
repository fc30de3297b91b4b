"""Counting and the table of counts: the same as one by one, whatever memory, workers and disk do."""

import random
import string
from collections import Counter
from pathlib import Path
from typing import Any

import numpy
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from splitting import AWKWARD, NAMES, texts

from gqvae.arrow import column
from gqvae.corpus import Corpus, is_held_out
from gqvae.corpus.documents import LongDocument
from gqvae.errors import GqvaeError
from gqvae.pretokens import Counting, PretokenTable, count_pretokens, cut, split
from gqvae.pretokens.pieces import Counts
from gqvae.pretokens.ranking import ranking
from gqvae.pretokens.tally import LEAST_MEMORY, MEMORY, Tally


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
    assert sum(table.counts.tolist()) == sum(twin.values())
    assert table.total_bytes == table.provenance["bytes"] == sum(len(text.encode()) for text in documents)
    assert table.provenance["documents"] == len(documents)


@given(
    st.dictionaries(
        st.one_of(st.binary(min_size=1, max_size=4), st.text("a\0b", min_size=7, max_size=18).map(str.encode)),
        st.one_of(st.integers(1, 3), st.sampled_from([65_534, 65_535, 65_536, 1 << 40])),
        max_size=40,
    )
)
def test_ranking_is_by_counts_then_bytes(counts: dict[bytes, int]) -> None:
    found = Counts(column(list(counts)), numpy.array(list(counts.values()), numpy.int64))
    pieces = list(counts)
    assert [pieces[place] for place in ranking(found)] == sorted(pieces, key=lambda piece: (-counts[piece], piece))


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
    alone = count_pretokens(documents, pattern="gpt2", window=16)
    assert alone.total_bytes == sum(len(document.encode()) for document in documents)
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
    for name, value in (
        ("corpus.documents.LONG", 10_000),
        ("corpus.documents._BLOCK", 3_000),
        ("corpus.readers._LINE", 1_000),
    ):
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
    three = count_pretokens(["aa bb cc"], pattern="gpt2", window=16)
    for pieces in ([b" cc", b" bb", b"aa"], [b" bb", b" bb", b"aa"]):  # of as many bytes
        dataclasses.replace(three, pieces=pieces).save(path)
        with pytest.raises(GqvaeError, match="repeated or out of order"):
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
