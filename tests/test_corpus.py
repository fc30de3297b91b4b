"""Every way in gives the same documents, byte for byte, and what is no way in is named."""

import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from formats import DOCUMENTS, FORMATS, JSONL, TXT, parquet, read, zstd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gqvae.corpus import Corpus, is_held_out, write_parts
from gqvae.errors import GqvaeError


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
    for column, kind in (([1, 2], "int64"), ([["a"], ["b"]], "list<element: string>")):
        path.write_bytes(parquet(column))
        with pytest.raises(GqvaeError, match=rf"a\.parquet: column 'text' is {kind}, not text"):
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
    with pytest.raises(GqvaeError, match=r"needs (pyarrow: pip install 'gqvae\[fast\]'|zstandard: .*\[train\]')"):
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
        (["b.txt", "sub/../b.txt"], r"sub/\.\./b\.txt is named twice, as .*/b\.txt, by '.*b\.txt' and by"),
        (["link.txt", "b.txt"], r"b\.txt is named twice, as .*link\.txt, by"),
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


def test_linked_folders_are_read_and_each_once(tmp_path: Path) -> None:
    inside, outside = tmp_path / "corpus", tmp_path / "elsewhere"
    for folder in (inside / "a", outside):
        folder.mkdir(parents=True)
        (folder / "text.txt").write_text(folder.name)
    (inside / "b").symlink_to(outside)
    (inside / "c").symlink_to(outside)
    (inside / "a" / "round").symlink_to(inside)
    (outside / "back").symlink_to(inside / "a")
    assert list(Corpus((str(inside),)).documents()) == ["a", "elsewhere"]
