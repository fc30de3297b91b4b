"""What a process is started with, or refused, by the system: streams that are closed or full, disks that are full."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_ids_that_cannot_be_written_are_no_success(unbuffered: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    command = [sys.executable, "-m", "gqvae", "encode", "tinystories-1024"]
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, input=b"Once", stdout=full, stderr=subprocess.PIPE, check=False, env=environment)
    assert done.returncode == 1
    assert done.stderr == b"gqvae: error: cannot write to stdout: No space left on device\n"


@pytest.mark.skipif(os.name == "nt", reason="needs a shell of POSIX")
def test_a_process_without_stdin_and_stdout_works(tmp_path: Path) -> None:
    """As daemons may be started."""
    text, out = tmp_path / "text.txt", tmp_path / "out"
    text.write_text("Once upon a time")
    encode = ["encode", "tinystories-1024"]
    for words in (["--version"], encode, [*encode, str(text), "--out", str(out)]):
        command = ["sh", "-c", 'exec "$@" <&- >&-', "sh", sys.executable, "-m", "gqvae", *words]
        done = subprocess.run(command, stderr=subprocess.PIPE, check=False)
        assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    assert json.loads((out / "index.json").read_text())["complete"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limit")
@pytest.mark.parametrize("verb", ["export", "encode"])
def test_files_that_cannot_grow_are_told(verb: str, tmp_path: Path) -> None:
    """By the real limit of the system, which each library that writes meets in its own way."""
    import resource

    text = tmp_path / "text.txt"
    text.write_text("Once upon a time there was a little dog. " * 900)
    words = [verb, "tinystories-1024", *([str(text)] if verb == "encode" else []), "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-m", "gqvae", *words],
        capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000)),
    )  # fmt: skip
    assert done.returncode == 1
    assert "cannot write" in done.stderr
    assert "File too large" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(os.name == "nt", reason="names are bytes on POSIX alone")
def test_names_and_words_that_are_not_text(tmp_path: Path) -> None:
    """Files of any name are read; where a library could not write, nothing begins."""
    (tmp_path / "\udcff.txt").write_text("Once upon a time")
    plain = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    def run(*words: str, environment: dict[str, str] = plain) -> "subprocess.CompletedProcess[bytes]":
        command = [sys.executable, "-m", "gqvae", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, env=environment)

    assert run("show", "tinystories-1024", "für").stdout.endswith(b"4 bytes, 4 tokens, 1.000 bytes per token\n")
    assert not run("evaluate", "tinystories-1024", "--corpus", "\udcff.txt").returncode
    assert not run("count", "\udcff.txt", "--out", "table.parquet").returncode
    for words in (
        ["count", "\udcff.txt", "--out", "\udcff.parquet"],
        ["encode", "tinystories-1024", "\udcff.txt", "--out", "\udcff"],
        ["export", "tinystories-1024", "--out", "\udcff"],
        ["demo", "--out", "\udcff"],
    ):
        for environment in (plain, dict(os.environ)):
            done = run(*words, environment=environment)
            assert (done.returncode, b"is not valid text in this locale" in done.stderr) == (2, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["table.parquet", "\udcff.txt"]
