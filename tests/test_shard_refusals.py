"""What is refused where shards are to be written or read, with everything left as it was."""

import errno
import json
from pathlib import Path
from typing import Any

import pytest
from sharded import DOCUMENTS, SMALL, TOY, content, small_batches, stopping  # noqa: F401 (a fixture for all tests)
from toys import TEXT, toy

from gqvae.errors import GqvaeError
from gqvae.files import digest, locked
from gqvae.shards import Shards, encode_corpus


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    with pytest.raises(KeyboardInterrupt):
        encode_corpus(TOY, stopping(DOCUMENTS, 50), tmp_path / "a", shard_bytes=SMALL)
    return tmp_path / "a"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resume": False}, "holds shards already"),
        ({"tokenizer": toy(size=650)}, "another sha256"),
        ({"documents": ["x", *DOCUMENTS]}, "another text"),
        ({"documents": [*DOCUMENTS[:3], "x", *DOCUMENTS[4:]]}, "another text"),
        ({"documents": DOCUMENTS[:2]}, "another text"),
        ({"documents": []}, "another text"),
        ({"end": None}, "another end"),
        ({"format": "parquet"}, "another format"),
        ({"shard_bytes": SMALL + 1}, "another shard_bytes"),
    ],
)
def test_only_the_same_resumes(begun: Path, change: dict[str, Any], message: str) -> None:
    before = content(begun)
    same = {"tokenizer": TOY, "documents": DOCUMENTS, "folder": begun, "shard_bytes": SMALL, "resume": True}
    with pytest.raises(GqvaeError, match=message):
        encode_corpus(**(same | change))
    shards = {name: data for name, data in content(begun).items() if not name.endswith(".partial")}
    assert shards == {name: data for name, data in before.items() if not name.endswith(".partial")}


def test_a_call_that_wrote_no_shard_is_in_nobodys_way(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        encode_corpus(TOY, stopping(DOCUMENTS, 0), tmp_path / "out")
    (tmp_path / "out" / "00000.bin").touch()  # the kill came between it and the index
    index = encode_corpus(TOY, ["some text"], tmp_path / "out", format="parquet")
    assert sorted(content(tmp_path / "out")) == ["00000.parquet", "index.json", "lock"]
    assert (index.complete, [shard.documents for shard in index.shards]) == (True, [1])


def test_finished_shards_take_no_more_text(tmp_path: Path) -> None:
    encode_corpus(TOY, DOCUMENTS, tmp_path / "a", shard_bytes=SMALL)
    for documents in ([*DOCUMENTS, TEXT * 50], DOCUMENTS[:-1]):
        with pytest.raises(GqvaeError, match="another text"):
            encode_corpus(TOY, documents, tmp_path / "a", shard_bytes=SMALL, resume=True)


@pytest.mark.parametrize("name", ["00000.bin", "00000.offsets.npy"])
def test_a_damaged_shard_is_found(begun: Path, name: str) -> None:
    data = bytearray((begun / name).read_bytes())
    data[len(data) // 2] ^= 1
    (begun / name).write_bytes(data)
    with pytest.raises(GqvaeError, match="damaged"):
        encode_corpus(TOY, DOCUMENTS, begun, shard_bytes=SMALL, resume=True)


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    with locked(tmp_path / "a"), pytest.raises(GqvaeError, match="at work"):
        encode_corpus(TOY, DOCUMENTS, tmp_path / "a")


def test_a_folder_of_somebody_else_is_left_as_it_is(tmp_path: Path) -> None:
    mine = {"film.mkv.partial": "a download", "lock": "important", "0001.partial": "too"}
    for name, text in mine.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(GqvaeError, match=r"holds other files \(0001\.partial, film\.mkv\.partial\)"):
        encode_corpus(TOY, DOCUMENTS, tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == mine


def test_bad_arguments_are_refused(tmp_path: Path) -> None:
    for change, message in (
        ({"end": "<|x|>"}, "no special token"),
        ({"format": "csv"}, "unknown format"),
        ({"shard_bytes": 0}, "at least 1"),
        ({"documents": ["a", "\ud800"]}, "document 2 has the lone surrogate"),
    ):
        with pytest.raises(GqvaeError, match=message):
            encode_corpus(**({"tokenizer": TOY, "documents": DOCUMENTS, "folder": tmp_path / "a"} | change))


def test_a_folder_without_shards_is_told(tmp_path: Path) -> None:
    with pytest.raises(GqvaeError, match=r"index\.json"):
        Shards(tmp_path)
    (tmp_path / "index.json").write_text("{}")
    with pytest.raises(GqvaeError, match="not an index"):
        Shards(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"documents": -1},
        {"documents": 1.0},
        {"tokens": True},
        {"files": {}},
        {"files": {"../../etc/passwd": "", "00000.offsets.npy": ""}},
        {"maker": {"vocab_size": "many"}},
        {"maker": {"format": "csv"}},
        {"maker": {"end": 10_000}},
        {"maker": {"end": "x"}},
    ],
)
def test_a_forged_index_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    encode_corpus(TOY, DOCUMENTS, tmp_path)
    found = json.loads((tmp_path / "index.json").read_text())
    del found["sha256"]
    found["maker"] |= change.get("maker", {})
    found["shards"][0] |= {key: value for key, value in change.items() if key != "maker"}
    (tmp_path / "index.json").write_text(json.dumps(found | {"sha256": digest(found)}))
    with pytest.raises(GqvaeError, match="not an index of token shards"):
        Shards(tmp_path)


@pytest.mark.parametrize("format", ["bin", "parquet"])
def test_missing_files_are_told(format: str, tmp_path: Path) -> None:
    encode_corpus(TOY, DOCUMENTS, tmp_path, format=format)
    shards = Shards(tmp_path)
    for path in tmp_path.glob("00000.*"):
        path.unlink()
    for read in (shards.ids, shards.offsets):
        with pytest.raises(GqvaeError, match="is missing or damaged"):
            read(0)


def test_a_disk_that_fails_as_a_shard_is_finished_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("gqvae.shards.writing.sync", fail)
    with pytest.raises(GqvaeError, match=f"cannot write {tmp_path}: Input/output error"):
        encode_corpus(TOY, DOCUMENTS, tmp_path)


@pytest.mark.parametrize("format", ["bin", "parquet"])
def test_shards_that_there_are_not_are_no_damage(format: str, tmp_path: Path) -> None:
    encode_corpus(TOY, DOCUMENTS, tmp_path, format=format)
    shards = Shards(tmp_path)
    for number in (-1, shards.count):
        for read in (shards.ids, shards.offsets):
            with pytest.raises(IndexError, match=f"no shard {number}"):
                read(number)
