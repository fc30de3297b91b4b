"""Every way for a file to be wrong or too much is an error that says where, or a counted skip, never less text."""

import gzip
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from formats import DOCUMENTS, FORMATS, TXT, parquet, read
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gqvae.corpus import Corpus, readers
from gqvae.errors import GqvaeError

# ---- bad documents

BAD: dict[str, tuple[str, bytes, str]] = {
    "bytes": (
        "a.txt",
        b"good\n<|endoftext|>\n1\n2\n3 \xff\n<|endoftext|>\nfine\n",
        r"a\.txt:5: not UTF-8 \(byte 0xff",
    ),
    "json": ("a.jsonl", b'{"text": "good\\n"}\n{"text"\n{"text": "fine\\n"}', r"a\.jsonl:2: not valid JSON"),
    "deep": (
        "a.jsonl",
        b'{"text": "good\\n"}\n' + b"[" * 10**6 + b'\n{"text": "fine\\n"}',
        "2: not valid JSON",
    ),
    "array": ("a.jsonl", b'{"text": "good\\n"}\n[1]\n{"text": "fine\\n"}', r"a\.jsonl:2: not a JSON object"),
    "field": (
        "a.jsonl",
        b'{"text": "good\\n"}\n{"x": 1, "b": 2}\n{"text": "fine\\n"}',
        r"2: no field 'text'; there .*: b, x",
    ),
    "type": (
        "a.jsonl",
        b'{"text": "good\\n"}\n{"text": 3}\n{"text": "fine\\n"}',
        r"2: field 'text' is int, not",
    ),
    "surrogate": (
        "a.jsonl",
        b'{"text": "good\\n"}\n{"text": "\\ud800"}\n{"text": "fine\\n"}',
        "2: .*lone surrogate",
    ),
    "utf8": (
        "a.jsonl",
        b'{"text": "good\\n"}\n{"text": "\xe9"}\n{"text": "fine\\n"}',
        r"a\.jsonl:2: not UTF-8",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_document_is_located_or_skipped_and_counted(kind: str, tmp_path: Path) -> None:
    name, data, message = BAD[kind]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(GqvaeError, match=message):
        read(tmp_path / name)
    corpus = Corpus((str(tmp_path / name),), on_error="skip")
    for _ in range(2):
        assert list(corpus.documents()) == ["good\n", "fine\n"]
        assert corpus.skips.count == 1
    assert str(corpus.skips).startswith(f"skipped 1: {tmp_path / name}:")


def test_bad_rows_of_parquet(tmp_path: Path) -> None:
    import pyarrow

    raw = pyarrow.array([b"good", None, b"\xff", b"fine"]).view(pyarrow.string())  # text only by name
    path = tmp_path / "a.parquet"
    path.write_bytes(parquet(raw))
    corpus = Corpus((str(path),), on_error="skip")
    assert list(corpus.documents()) == ["good", "fine"]
    assert corpus.skips.count == 2
    assert "row 2: 'text' is null" in str(corpus.skips)
    assert "row 3" in str(corpus.skips)
    with pytest.raises(GqvaeError, match=r"a\.parquet: no column 'body'; there are id, text"):
        read(path, field="body")


def test_a_damaged_name_of_a_column_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(parquet(["some text"], column="aé").replace("aé".encode(), b"ab\xf4"))
    with pytest.raises(GqvaeError, match=r"a\.parquet.*can't decode byte 0xf4"):
        list(Corpus((str(path),)).documents())


@pytest.mark.parametrize("name", ["a.txt.gz", "a.txt.zst", "a.jsonl.gz", "a.jsonl.zst", "a.parquet"])
@pytest.mark.parametrize("damage", ["cut", "garbage"])
def test_a_damaged_file_is_never_read_as_a_shorter_one(name: str, damage: str, tmp_path: Path) -> None:
    whole = FORMATS[name if name in FORMATS else "a.TXT.gz"]()
    (tmp_path / name).write_bytes(whole[:-5] if damage == "cut" else b"garbage" + whole[7:-7] + b"garbage")
    (tmp_path / "next.txt").write_text("next")
    with pytest.raises(GqvaeError, match=f"cannot read .*{name}"):
        read(tmp_path)
    corpus = Corpus((str(tmp_path),), on_error="skip")
    documents = list(corpus.documents())
    assert corpus.skips.count == 1
    assert documents.pop() == "next"
    assert documents == DOCUMENTS[: len(documents)]


def test_a_long_zstd_window_is_read(tmp_path: Path) -> None:
    import zstandard

    parameters = zstandard.ZstdCompressionParameters(window_log=28, enable_ldm=True)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()  # as `zstd --long=28`
    (tmp_path / "a.txt.zst").write_bytes(compressor.compress(TXT) + compressor.flush())
    assert read(tmp_path) == DOCUMENTS


def test_an_unreadable_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("text")
    corpus = Corpus((str(tmp_path / "a.txt"),))

    def refuse(*_: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)  # root, who runs many a test, may read everything
    with pytest.raises(GqvaeError, match=r"cannot read .*a\.txt: Permission denied"):
        list(corpus.documents())


def test_streaming_holds_one_document(tmp_path: Path) -> None:
    """The first documents of a file come without reading the rest, whose last byte is bad."""
    (tmp_path / "a.txt").write_bytes(b"x\n<|endoftext|>\n" * 100_000 + b"\xff")
    documents = Corpus((str(tmp_path / "a.txt"),)).documents()
    assert [next(documents) for _ in range(3)] == ["x\n"] * 3


# ---- too much


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.sampled_from(["==", "== ", "a==", "", "\r", "long line", "==long"])), piece=st.integers(4, 9))
def test_lines_read_in_pieces_are_the_same_lines(lines: list[str], piece: int, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("\n".join(lines).encode())
    whole = read(path, separator="==")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "_LINE", piece)
        assert read(path, separator="==") == whole


def test_lines_beyond_the_bound_are_told_or_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("MAX_LINE_BYTES", 100), ("_LINE", 32)):
        monkeypatch.setattr(readers, name, value)
    (tmp_path / "b.jsonl").write_text('{"text": "three"}\n' + "[" * 500 + '\n{"text": "four"}\n' + "7" * 101)
    corpus = Corpus((str(tmp_path),), on_error="skip")
    assert list(corpus.documents()) == ["three", "four"]
    assert corpus.skips.count == 2
    with pytest.raises(GqvaeError, match=r"b\.jsonl:2: a line of more than"):
        read(tmp_path)


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst"])
def test_a_compressed_bomb_takes_no_memory(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tracemalloc

    import zstandard

    monkeypatch.setattr(readers, "MAX_LINE_BYTES", 1 << 20)
    pack = partial(gzip.open, compresslevel=1) if name.endswith("gz") else zstandard.open
    with pack(tmp_path / name, mode="wb") as packed:
        for _ in range(120):
            packed.write(bytes(1 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(GqvaeError, match="of more than 1048576 bytes"):
            read(tmp_path / name)
        assert tracemalloc.get_traced_memory()[1] < 70 << 20
    finally:
        tracemalloc.stop()


def test_a_file_that_changes_or_vanishes_while_it_is_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    for disturb, message in (
        (path.unlink, "No such file"),
        (lambda: path.write_text("x"), "changed while it was read"),
    ):
        path.write_text("one\n<|endoftext|>\n" * 1000)
        documents = Corpus((str(tmp_path),)).documents()
        next(documents)
        disturb()
        with pytest.raises(GqvaeError, match=rf"a\.txt.*{message}"):
            list(documents)
