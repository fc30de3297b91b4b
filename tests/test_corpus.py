"""Every way in gives the same documents, byte for byte; every way to be wrong is an error that says where."""

import gzip
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gqvae import readers
from gqvae.corpus import DEFAULT_SEPARATOR, Corpus, is_held_out, write_parts
from gqvae.errors import GqvaeError

DOCUMENTS = ["\ufeffOne\r\ntwo\0\n", "日本語 👩\u200d🚀\n\n", " <|endoftext|> inside\n", "last, no newline"]
PLAIN = f"\n{DEFAULT_SEPARATOR}\n".join(text.removesuffix("\n") for text in DOCUMENTS[:-1])
TXT = (PLAIN + f"\n{DEFAULT_SEPARATOR}\r\n{DEFAULT_SEPARATOR}\n" + DOCUMENTS[-1]).encode()
JSONL = "".join(json.dumps({"id": n, "text": text}) + "\n" for n, text in enumerate(DOCUMENTS)).encode()


def read(*inputs: Path | str, **options: Any) -> list[str]:
    return list(Corpus(tuple(map(str, inputs)), **options).documents())


def zstd(data: bytes) -> bytes:
    import zstandard

    half = len(data) // 2  # two frames, as parallel compressors write them
    return zstandard.compress(data[:half]) + zstandard.compress(data[half:])


def parquet(documents: list[Any], column: str = "text") -> bytes:
    import pyarrow
    import pyarrow.parquet

    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"id": range(len(documents)), column: documents}), buffer)
    return buffer.getvalue()


FORMATS: dict[str, Callable[[], bytes]] = {
    "a.txt": lambda: TXT,
    "a.TXT.gz": lambda: gzip.compress(TXT[:50]) + gzip.compress(TXT[50:]),
    "a.txt.zst": lambda: zstd(TXT),
    "a.jsonl": lambda: JSONL,
    "b.jsonl": lambda: b"\xef\xbb\xbf" + JSONL.replace(b"\n", b"\r\n\r\n"),
    "a.jsonl.gz": lambda: gzip.compress(JSONL),
    "a.jsonl.zst": lambda: zstd(JSONL),
    "a.parquet": lambda: parquet(DOCUMENTS),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_documents(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(FORMATS[name]())
    corpus = Corpus((str(tmp_path / name),))
    assert list(corpus.documents()) == DOCUMENTS
    assert list(corpus.documents()) == DOCUMENTS  # and again
    assert str(corpus.skips) == "nothing skipped"


def test_parquet_text_types(tmp_path: Path) -> None:
    import pyarrow

    path = tmp_path / "a.parquet"
    for column in (
        pyarrow.array(DOCUMENTS, pyarrow.large_string()),
        pyarrow.array(DOCUMENTS).dictionary_encode(),
        pyarrow.array(DOCUMENTS, pyarrow.string_view()),
    ):
        path.write_bytes(parquet(column, column="body"))
        assert read(path, field="body") == DOCUMENTS
    path.write_bytes(parquet([1, 2]))
    with pytest.raises(GqvaeError, match=r"a\.parquet: column 'text' is int64, not text"):
        read(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents=st.lists(st.text(st.characters(exclude_categories=["Cs"]))), end=st.sampled_from(["", "\n"]))
def test_separated_text_is_lossless(tmp_path: Path, documents: list[str], end: str) -> None:
    """Documents that end in a newline, and perhaps a last one that does not, come back whatever they hold."""
    ended = [text + "\n" for text in documents]
    last = "".join(documents) + end
    path = tmp_path / "a.txt"
    path.write_bytes("".join(text + "===\n" for text in ended).encode() + last.encode())
    assert read(path, separator="===") == ended + [last] * bool(last)
    assert read(path, separator=None) == [path.read_bytes().decode()] * bool(path.read_bytes())


def test_stdin_is_text_and_base_install_is_enough(tmp_path: Path) -> None:
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(JSONL))
    code = (
        "import sys, json; from gqvae.corpus import Corpus\n"
        "for name in ('fsspec', 'zstandard', 'pyarrow', 'datasets', 'numpy'): sys.modules[name] = None\n"
        f"print(json.dumps(list(Corpus(('-', {str(tmp_path / 'b.jsonl.gz')!r})).documents())))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], input=TXT, capture_output=True, check=True)
    assert json.loads(done.stdout) == DOCUMENTS * 2


@pytest.mark.parametrize("name", ["a.parquet", "a.txt.zst"])
def test_a_missing_package_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / name).write_bytes(FORMATS[name]())
    for module in ("pyarrow", "zstandard"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(GqvaeError, match=r"needs (pyarrow|zstandard): pip install 'gqvae\[train\]'"):
        read(tmp_path / name, on_error="skip")  # not a bad document: never skipped


# ---- which files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.txt", "a.jsonl", "sub/c.txt", "sub/deep/d.txt", ".hidden.txt", ".git/e.txt", "README.md"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"text": name}) if name.endswith(".jsonl") else name)
    return tmp_path


def test_folders_and_globs_are_sorted(folder: Path) -> None:
    assert read(folder) == ["a.jsonl", "b.txt", "sub/c.txt", "sub/deep/d.txt"]
    assert read(folder / "**/*.txt") == ["b.txt", "sub/c.txt", "sub/deep/d.txt"]
    assert read(folder / "sub", folder / "b.txt") == ["sub/c.txt", "sub/deep/d.txt", "b.txt"]
    (folder / "odd[1].txt").write_text("a name that looks like a glob")
    assert read(folder / "odd[1].txt") == ["a name that looks like a glob"]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (["missing.txt"], r"missing\.txt: no such file"),
        (["*.parquet"], r"\*\.parquet: no file matches"),
        (["README.md"], r"README\.md: unknown suffix \(known suffixes: \.txt .*stdin"),
        (["*"], r"README\.md: unknown suffix"),
        ([".git/hooks"], "hooks: no file to read below"),
        (["b.txt", "sub/../b.txt"], r"sub/\.\./b\.txt is named twice, by '.*b\.txt' and by"),
        (["link.txt", "b.txt"], "named twice"),
        (["sub", "sub/c.txt"], "named twice"),
    ],
)
def test_bad_inputs_are_refused_even_when_skipping(folder: Path, inputs: list[str], message: str) -> None:
    (folder / ".git/hooks").mkdir()
    (folder / "link.txt").symlink_to(folder / "b.txt")
    with pytest.raises(GqvaeError, match=message):
        read(*(folder / name for name in inputs), on_error="skip")


def test_bad_options_are_refused() -> None:
    for options in ({"inputs": ()}, {"separator": ""}, {"separator": "a\nb"}, {"on_error": "ignore"}):
        with pytest.raises(GqvaeError):
            Corpus(**({"inputs": ("-",)} | options))
    with pytest.raises(GqvaeError, match="named twice"):
        read("-", "-")


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


# ---- remote


def test_urls_go_through_fsspec() -> None:
    import fsspec

    with fsspec.open("memory://corpus/b.txt", "wb") as stream:
        stream.write(TXT)
    with fsspec.open("memory://corpus/a.jsonl.zst", "wb") as stream:
        stream.write(zstd(JSONL))
    assert read("memory://corpus/b.txt") == DOCUMENTS
    assert read("memory://corpus/*") == DOCUMENTS * 2
    with pytest.raises(GqvaeError, match=r"memory://corpus/\*\.parquet: no file matches"):
        read("memory://corpus/*.parquet")
    with pytest.raises(GqvaeError, match=r"cannot read memory://corpus/none\.txt"):
        read("memory://corpus/none.txt")


def test_hugging_face_data_sets_are_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked: list[tuple[Any, ...]] = []

    def load_dataset(name: str, config: str | None, *, split: str, streaming: bool) -> Iterator[dict[str, Any]]:
        asked.append((name, config, split, streaming))
        if split == "nosuch":
            raise ValueError('Unknown split "nosuch"')
        return iter([{"text": text} for text in DOCUMENTS] + [{"body": "no text"}])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    corpus = Corpus(("hf://roneneldan/TinyStories", "hf://a/b/config-c:valid"), on_error="skip")
    assert list(corpus.documents()) == DOCUMENTS * 2
    assert corpus.skips.count == 2
    assert asked == [
        ("roneneldan/TinyStories", None, "train", True),
        ("a/b", "config-c", "valid", True),
    ]
    with pytest.raises(GqvaeError, match=r"hf://a/b: row 5: no field 'text'; there are: body"):
        read("hf://a/b")
    with pytest.raises(GqvaeError, match='cannot read hf://a/b:nosuch: Unknown split "nosuch"'):
        read("hf://a/b:nosuch")


@given(data=st.lists(st.sampled_from([b"ab", "é日".encode(), b"\n", b"\r\n", b"<|endoftext|>", b" "])).map(b"".join))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_long_documents_are_the_same_documents(data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    whole = read(path)
    with monkeypatch.context() as patch:
        for name, value in (("documents.LONG", 4), ("documents._BLOCK", 2), ("readers._LINE", 20)):
            patch.setattr(f"gqvae.{name}", value)
        assert read(path) == whole
        assert read(path, separator=None) == ([data.decode()] if data else [])


def test_bytes_that_are_not_utf8_are_found_in_a_long_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("日本\n".encode() * 100 + b"a\xff\nb\n<|endoftext|>\ncut \xe6")
    errors = []
    for long in (1 << 26, 64):
        monkeypatch.setattr("gqvae.documents.LONG", long)
        monkeypatch.setattr("gqvae.documents._BLOCK", 10)
        corpus = Corpus((str(path),), on_error="skip")
        assert list(corpus.documents()) == []
        errors.append(corpus.skips.examples)
    assert errors[0] == errors[1]
    assert "a.txt:101: not UTF-8 (byte 0xff)" in errors[0][0]


# ---- held-out share


@given(document=st.text(), fraction=st.floats(0, 1))
def test_held_out_grows_with_the_fraction(document: str, fraction: float) -> None:
    assert not is_held_out(document, 0.0)
    assert is_held_out(document, 1.0)
    assert is_held_out(document, fraction) <= is_held_out(document, min(1.0, fraction + 0.1))


def test_held_out_share_is_about_right_and_fixed() -> None:
    held_out = [number for number in range(10_000) if is_held_out(f"document {number}", 0.1)]
    assert 900 < len(held_out) < 1100
    assert held_out[:4] == [40, 44, 59, 70]  # the same in every process, on every machine, for ever
    for fraction in (-0.1, 1.1, float("nan")):
        with pytest.raises(GqvaeError, match="held-out fraction"):
            is_held_out("a", fraction)


def test_the_parts_of_a_corpus_hold_the_documents_exactly(tmp_path: Path) -> None:
    documents = [f"document {n}\r\n\u2028\x00 <|endoftext|>\n日本" for n in range(50)]
    train, held_out = write_parts(documents, 0.1, tmp_path / "corpus")
    kept, other = list(Corpus((str(train),)).documents()), list(Corpus((str(held_out),)).documents())
    assert kept == [d for d in documents if not is_held_out(d, 0.1)]
    assert other == [d for d in documents if is_held_out(d, 0.1)]
    assert kept
    assert other
