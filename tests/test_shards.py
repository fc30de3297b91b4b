"""Token shards: the right ids, and the same to the byte however they came about."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sharded import DOCUMENTS, END, SMALL, TOY, content, small_batches, stopping  # noqa: F401 (a fixture for all tests)
from toys import TEXT

from gqvae.cli import main
from gqvae.corpus import Corpus
from gqvae.corpus.documents import LongDocument
from gqvae.errors import GqvaeError
from gqvae.names import load
from gqvae.shards import Shards, encode_corpus
from gqvae.shards.plan import plan
from gqvae.tokenizer import Tokenizer
from gqvae.vocabulary import Vocabulary

# What is in them


@pytest.mark.parametrize("format", ["bin", "parquet"])
@pytest.mark.parametrize("end", [END, None])
@pytest.mark.parametrize("shard_bytes", [1, SMALL, 1 << 20])
def test_documents_come_back(tmp_path: Path, format: str, end: str | None, shard_bytes: int) -> None:
    encode_corpus(TOY, DOCUMENTS, tmp_path / "a", end=end, format=format, shard_bytes=shard_bytes)
    shards = Shards(tmp_path / "a")
    shards.verify()
    tail = [] if end is None else [TOY.special_ids[END]]
    found = [ids.tolist() for ids in shards]
    assert found == [TOY.encode(document) + tail for document in DOCUMENTS]
    assert shards.end == (tail[0] if tail else None)
    assert (shards.documents, shards.tokens) == (len(DOCUMENTS), sum(map(len, found)))
    assert shards.vocab_size == TOY.vocab_size
    assert len(shards) == shards.documents == len(list(shards))
    for number in range(shards.count):
        assert shards.ids(number).dtype == numpy.uint16
        assert len(shards.ids(number)) == shards.offsets(number)[-1]


def test_special_ids_stand_only_at_the_end_of_documents(tmp_path: Path) -> None:
    encode_corpus(TOY, DOCUMENTS, tmp_path / "a")
    special = TOY.special_ids[END]
    assert all((ids == special).nonzero()[0].tolist() == [len(ids) - 1] for ids in Shards(tmp_path / "a"))


def test_the_files_are_plain_little_endian(tmp_path: Path) -> None:
    encode_corpus(TOY, ["the rain", "stopped"], tmp_path / "a")
    expected = [*TOY.encode("the rain"), TOY.special_ids[END], *TOY.encode("stopped"), TOY.special_ids[END]]
    data = (tmp_path / "a" / "00000.bin").read_bytes()
    assert data == b"".join(id_.to_bytes(2, "little") for id_ in expected)


def test_many_ids_take_four_bytes(tmp_path: Path) -> None:
    specials = (*(f"<|{number}|>" for number in range(4000)), END)
    learned = tuple(f"{number:05}".encode() for number in range(62_000))
    wide = Tokenizer(Vocabulary(learned, specials), [-1.0] * (256 + len(learned)), "gpt2", "wide")
    assert wide.vocab_size > 1 << 16
    encode_corpus(wide, ["61999 x"], tmp_path / "a")
    ids = Shards(tmp_path / "a").ids(0)
    assert ids.dtype == numpy.uint32
    assert ids.tolist() == [*wide.encode("61999 x"), wide.vocab_size - 1]
    encode_corpus(wide, [""], tmp_path / "empty", end=None)
    assert Shards(tmp_path / "empty").ids(0).dtype == numpy.uint32


def test_a_corpus_without_documents_has_no_shards(tmp_path: Path) -> None:
    encode_corpus(TOY, [], tmp_path / "a")
    assert list(Shards(tmp_path / "a")) == []


@given(st.lists(st.text(max_size=30), max_size=30), st.integers(1, 60))
def test_the_plan_keeps_order_and_bounds(documents: list[str], shard_bytes: int) -> None:
    batches = list(plan(documents, shard_bytes, "gpt2"))
    assert [data.decode() for batch in batches for data in batch.documents] == documents
    for number in {batch.shard for batch in batches}:
        sizes = [len(data) for batch in batches if batch.shard == number for data in batch.documents]
        assert sum(sizes) <= shard_bytes or max(sizes) == sum(sizes)
    assert [batch.shard for batch in batches] == sorted(batch.shard for batch in batches)


def test_a_shard_has_no_more_documents_than_offsets_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gqvae.shards.plan._MOST_DOCUMENTS", 3)
    batches = list(plan(["a", "", "b", "c", "d", "e", "f"], 1000, "gpt2"))
    assert [(batch.shard, len(batch.documents)) for batch in batches] == [(0, 3), (1, 3), (2, 1)]


# The same, however made


@pytest.mark.parametrize("format", ["bin", "parquet"])
def test_processes_change_nothing(tmp_path: Path, format: str) -> None:
    for name, workers in (("a", 0), ("b", 2)):
        encode_corpus(TOY, DOCUMENTS, tmp_path / name, format=format, shard_bytes=SMALL, workers=workers)
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_any_map_that_keeps_the_order_will_do(tmp_path: Path) -> None:
    def eager(function: Any, batches: Iterable[Any]) -> list[Any]:
        done = {number: function(batch) for number, batch in reversed(list(enumerate(batches)))}
        return [done[number] for number in sorted(done)]

    encode_corpus(TOY, DOCUMENTS, tmp_path / "a", shard_bytes=SMALL)
    encode_corpus(TOY, DOCUMENTS, tmp_path / "b", shard_bytes=SMALL, map=eager)
    assert content(tmp_path / "a") == content(tmp_path / "b")


@pytest.mark.parametrize("after", [0, 1, 20, 50, len(DOCUMENTS)])
@pytest.mark.parametrize("format", ["bin", "parquet"])
def test_resumed_shards_are_the_same_to_the_byte(tmp_path: Path, after: int, format: str) -> None:
    encode_corpus(TOY, DOCUMENTS, tmp_path / "whole", format=format, shard_bytes=SMALL)
    with pytest.raises(KeyboardInterrupt):
        encode_corpus(TOY, stopping(DOCUMENTS, after), tmp_path / "a", format=format, shard_bytes=SMALL)
    with pytest.raises(GqvaeError, match="not finished"):
        Shards(tmp_path / "a")
    encode_corpus(TOY, DOCUMENTS, tmp_path / "a", format=format, shard_bytes=SMALL, resume=True)
    assert content(tmp_path / "a") == content(tmp_path / "whole")


def test_finished_shards_are_not_encoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encode_corpus(TOY, DOCUMENTS, tmp_path / "a", shard_bytes=SMALL)
    before = content(tmp_path / "a")
    monkeypatch.delattr(Tokenizer, "encode_batch")
    encode_corpus(TOY, DOCUMENTS, tmp_path / "a", shard_bytes=SMALL, resume=True)
    assert content(tmp_path / "a") == before


def test_a_killed_process_leaves_shards_that_resume(tmp_path: Path) -> None:
    """Through the command line and two processes: SIGKILL in the middle, then --resume."""
    TOY.save(tmp_path / "tok")
    text = tmp_path / "text.jsonl"
    text.write_text("".join(json.dumps({"text": f"{number} {TEXT}"}) + "\n" for number in range(12_000)))
    arguments = ["encode", str(tmp_path / "tok"), str(text), "--workers", "2", "--shard-bytes", "500000", "--out"]
    command = [sys.executable, "-m", "gqvae", *arguments, str(tmp_path / "a")]
    process = subprocess.Popen(command)
    while not (tmp_path / "a" / "00001.bin").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not json.loads((tmp_path / "a" / "index.json").read_text())["complete"]
    assert subprocess.run([*command, "--resume"], check=False).returncode == 0
    with pytest.raises(SystemExit) as exit_:
        main([*arguments, str(tmp_path / "whole"), "--workers", "1"])
    assert exit_.value.code == 0
    assert content(tmp_path / "a") == content(tmp_path / "whole")


def test_files_are_encoded_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    TOY.save(tmp_path / "tok")
    (tmp_path / "text.txt").write_text(f"the rain\n{END}\nstopped\n")
    arguments = ["encode", str(tmp_path / "tok"), str(tmp_path / "text.txt"), "--end", "", "--workers", "1", "--out"]
    with pytest.raises(SystemExit) as exit_:
        main([*arguments, str(tmp_path / "a")])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == ""
    assert [TOY.decode(ids.tolist()) for ids in Shards(tmp_path / "a")] == ["the rain\n", "stopped\n"]
    for wrong in (arguments[:3], [*arguments[:2], "--out", str(tmp_path / "b")]):
        with pytest.raises(SystemExit) as exit_:
            main(wrong)
        assert exit_.value.code == 2


@pytest.mark.parametrize("format", ["bin", "parquet"])
def test_a_long_document_is_encoded_in_parts_to_the_same_ids(
    format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (
        ("corpus.documents.LONG", 5_000),
        ("corpus.documents._BLOCK", 900),
        ("shards.plan._BATCH_BYTES", 2_000),
    ):
        monkeypatch.setattr(f"gqvae.{name}", value)
    texts = ["short\n", "The cat's 12 日本 mats. " * 400, "", "x\n", "日本語" * 2_000, "last\n"]
    (tmp_path / "a.txt").write_text("<|endoftext|>\n".join(text and text.strip() + "\n" for text in texts))
    corpus, tokenizer = Corpus((str(tmp_path / "a.txt"),)), load("tinystories-1024")
    assert sum(isinstance(document, LongDocument) for document in corpus.streamed()) == 2
    found = []
    for number, documents in enumerate((corpus.documents(), corpus.streamed())):
        folder = tmp_path / str(number)
        index = encode_corpus(tokenizer, documents, folder, format=format, shard_bytes=7_000)
        found.append(([(s.documents, s.tokens, s.bytes, s.corpus_sha256) for s in index.shards],
                      [ids.tolist() for ids in Shards(folder)]))  # fmt: skip
    assert found[0] == found[1]
    assert len(found[0][0]) > 2
    assert len(found[0][1]) == 5
