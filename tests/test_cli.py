"""The command line as a person or a script meets it: help, errors, signals and the exit status."""

import os
import re
import signal
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from calling import call

from gqvae import cli
from gqvae.errors import to_install
from gqvae.pretokens import PretokenTable


def test_encoding_that_is_stopped_says_how_to_go_on(
    tok: str, text_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gqvae.shards.encoding.encode_batch", lambda *_, **__: signal.raise_signal(signal.SIGTERM))
    stopped = call("encode", tok, text_file, "--out", str(tmp_path / "shards"), "--workers", "1")
    assert stopped.status == 128 + signal.SIGTERM
    assert "stopped by SIGTERM; continue with the same command and --resume" in stopped.err.splitlines()[-1]


def test_unknown_tokenizers_and_files_fail_in_one_line(tok: str) -> None:
    for arguments in (
        ["encode", "nowhere"],
        ["show", "hf:nowhere", "x"],
        ["export", tok, "--out", "/dev/null/x"],
    ):
        result = call(*arguments)
        assert result.status == 1
        assert result.err.startswith("gqvae: error: ")
        assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["encode"],
        ["encode", "a", "b"],
        ["train", "x"],
        [],
        ["train", "--out", "x", "--resume", "--steps", "5"],  # would be ignored
        ["train", "--out", "x", "--resume", "--preset", "small"],
        ["train", "--out", "x", "--resume", "--field", "body"],
        ["train", "--out", "no-such-run"],
        ["train", "--out", "no-such-run", "--resume"],
        ["count", "x", "--out", "y", "--engine", "ray", "--workers", "2"],
        ["train", "x", "--out", "y", "--engine", "ray", "--workers", "2"],
        ["encode", "tinystories-1024", "x", "--out", "y", "--engine", "ray", "--workers", "2"],
        ["reproduce", "--out", "x", "--quick", "--size", "large"],
        ["distill", "x", "--out", "y", "--vocab-size", "257"],  # no room for a learned string
        ["evaluate", "x", "--corpus", "-", "--against", "bpe:300", "--train-corpus", "-"],  # stdin twice
    ],
)
def test_wrong_usage(arguments: list[str]) -> None:
    assert call(*arguments).status == 2


@pytest.mark.parametrize(
    "ignored",
    ["--format bin", "--end x", "--shard-bytes 9", "--workers 1", "--engine ray", "--resume", "--field x",
     "--on-error skip", "some.txt"],
)  # fmt: skip
def test_encode_from_stdin_takes_no_option_of_shards(tok: str, ignored: str) -> None:
    result = call("encode", tok, *ignored.split(), stdin=b"words")
    assert (result.status, result.out) == (2, b"")
    assert "needs --out" in result.err
    assert call("encode", tok, "--separator", "x", stdin=b"words").status == 0


@pytest.mark.parametrize(
    ("package", "extra"),
    [
        ("torch", "train"),
        ("gguf", "formats"),
        ("google.protobuf", "formats"),
        ("pyarrow.parquet", "fast"),
        ("ray", "ray"),
    ],
)
def test_a_missing_extra_is_named(package: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise ModuleNotFoundError(f"No module named '{package}'", name=package)

    monkeypatch.setattr(cli, "app", missing)
    result = call("train")
    assert result.status == 1
    assert f"this needs the package {package}: pip install 'gqvae[{extra}]'" in result.err


@pytest.mark.parametrize(
    ("module", "package"),
    [("pyarrow.parquet", "pyarrow"), ("numpy", "numpy"), ("google.protobuf", "protobuf"), ("torch", "torch"),
     ("duckdb", "duckdb"), ("datasets", "datasets"), ("zstandard", "zstandard"), ("sentencepiece", "sentencepiece"),
     ("ray", "ray")],
)  # fmt: skip
def test_what_is_to_be_installed_brings_the_package(module: str, package: str) -> None:
    extra = to_install(module).removeprefix("pip install 'gqvae[").removesuffix("]'")
    of_extra = [line for line in requires("gqvae") or () if f"extra == '{extra}'" in line.replace('"', "'")]
    assert any(re.match(rf"{package}\b", line) for line in of_extra)


def test_help_names_every_verb() -> None:
    text = call("--help").out.decode()
    assert call("encode", "-h").out == call("encode", "--help").out
    for verb in ("train", "distill", "encode", "decode", "evaluate", "export", "verify", "show", "demo"):
        assert f"  {verb}" in text
    assert call("--version").out.startswith(b"gqvae ")


def test_a_reader_that_stops_early_is_no_crash(tok: str) -> None:
    command = [
        sys.executable,
        "-c",
        "from gqvae.cli import main; main()",
        "encode",
        tok,
        "--separator",
        r"\n",
    ]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout
    process.stdout.close()
    _, err = process.communicate(b"Once upon a time\n" * 20000)
    assert b"Traceback" not in err
    assert os.name == "nt" or process.returncode == 1


def test_count_writes_the_table_that_training_reads(text_file: str, tmp_path: Path) -> None:
    from gqvae.cli.app import size_in_bytes
    from gqvae.corpus import Corpus
    from gqvae.pretokens import PretokenTable, count_pretokens

    out = tmp_path / "deep" / "table.parquet"
    result = call("count", text_file, "--out", str(out), "--pattern", "gpt4", "--window", "8", "--memory", "0.5 GB")
    table = PretokenTable.load(out)
    twin = count_pretokens(Corpus((text_file,)).documents(), pattern="gpt4", window=8)
    assert (table.pieces, table.counts.tolist()) == (twin.pieces, twin.counts.tolist())
    assert f"{len(twin.pieces)} distinct pretokens: {out}" in result.err
    assert result.status == 0
    sizes = {"7": 7, "2K": 2_000, "3kb": 3_000, "1.5M": 1_500_000, "0.5 GB": 500_000_000, "2TB": 2_000_000_000_000}
    assert {size: size_in_bytes(size) for size in sizes} == sizes
    for out, message in ((tmp_path, "is a folder: name a file"), (Path(text_file) / "a", "a: File exists")):
        refused = call("count", text_file, "--out", str(out))
        assert refused.status == 1
        assert message in refused.err
    for size in ("much", "0", "-1GB", "1 XB"):
        refused = call("count", text_file, "--out", str(out), "--memory", size)
        assert refused.status == 1
        assert f"{size!r} is not a size; write 500MB or 2GB" in refused.err


def test_count_replaces_nothing_but_an_earlier_table(text_file: str, tmp_path: Path) -> None:
    text, table, link = tmp_path / "text.txt", tmp_path / "table.parquet", tmp_path / "link.parquet"
    text.write_bytes(before := Path(text_file).read_bytes())
    other = tmp_path / "other.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": ["words"]}), other)
    for corpus, out in ((text, text), (other, other), (other, text), (text, Path(os.devnull))):
        refused = call("count", str(corpus), "--out", str(out))
        assert (refused.status, "is no table of pretokens, and would be replaced" in refused.err) == (1, True)
    assert text.read_bytes() == before
    assert pyarrow.parquet.read_table(other).to_pydict() == {"text": ["words"]}

    table.touch()  # as mktemp does
    link.symlink_to(table)
    for corpus in (text, other):
        assert call("count", str(corpus), "--out", str(link)).status == 0
        assert link.is_symlink()
        assert (PretokenTable.load(table).provenance["bytes"] == len("words")) == (corpus == other)


@pytest.mark.parametrize("verb", [["count"], ["export"]])
def test_links_in_a_circle_are_no_crash(verb: list[str], tok: str, text_file: str, tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("other")
    (tmp_path / "other").symlink_to("one")
    given = text_file if verb == ["count"] else tok
    result = call(*verb, given, "--out", str(tmp_path / "one" / "out"))
    assert (result.status, "cannot write" in result.err) == (1, True)


@pytest.mark.parametrize(
    "verb", [["count"], ["encode", "tinystories-1024"], ["train"], ["reproduce"], ["compare-quantizers"]]
)
def test_a_text_that_is_not_there_leaves_nothing_behind(verb: list[str], tmp_path: Path) -> None:
    result = call(*verb, str(tmp_path / "missing.txt"), "--out", str(tmp_path / "deep" / "out"))
    assert (result.status, "missing.txt: no such file or folder" in result.err) == (1, True)
    assert not list(tmp_path.iterdir())


def test_a_file_is_no_folder_to_write_to(text_file: str, tmp_path: Path) -> None:
    for verb in (["encode", "tinystories-1024"], ["train"]):
        result = call(*verb, text_file, "--out", text_file)
        assert (result.status, f"{text_file} is a file: name a folder" in result.err) == (1, True)
