"""Kills, full disks, lost and changing files: never a corrupt state, always a way on, always the same result."""

import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from killing import CONFIG, FILES, work
from learning import as_options, vary, write_corpus
from test_files import failing

from gqvae.corpus import Corpus
from gqvae.errors import GqvaeError
from gqvae.files import LOCK
from gqvae.learn.distill import distill
from gqvae.learn.metrics import read as read_metrics
from gqvae.learn.run import Run
from gqvae.learn.training import Trainer, resume, train

WRITTEN = ("config.json", "pretokens.parquet", "held_out.parquet", "held_out.jsonl", "checkpoint.safetensors")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return write_corpus(tmp_path_factory.mktemp("faults") / "topics.jsonl", documents=6, characters=200)


@pytest.fixture(scope="module")
def undisturbed(text: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run and its tokenizer."""
    folder = tmp_path_factory.mktemp("undisturbed")
    work(folder, text)
    return folder


def assert_same(folder: Path, undisturbed: Path) -> None:
    for name in WRITTEN:
        assert (folder / "run" / name).read_bytes() == (undisturbed / "run" / name).read_bytes(), name
    ours, theirs = (read_metrics(one / "run" / "metrics.jsonl") for one in (folder, undisturbed))
    assert [row["step"] for row in ours] == [row["step"] for row in theirs]
    for name in ("gqvae.json", "segmentations.parquet", "report.json"):
        assert (folder / "tokenizer" / name).read_bytes() == (undisturbed / "tokenizer" / name).read_bytes(), name
    assert not list((folder / "run").glob(".*"))


# Kills


@pytest.mark.parametrize("way", [[], ["files"]], ids=["random moments", "every file"])
def test_killed_dozens_of_times(way: list[str], text: Corpus, undisturbed: Path, tmp_path: Path) -> None:
    command = [sys.executable, "killing.py", str(tmp_path / "killed"), *text.inputs, *way]
    done = subprocess.run(command, cwd=Path(__file__).parent, stdout=subprocess.PIPE, check=True)
    assert int(done.stdout) >= 20
    assert_same(tmp_path / "killed", undisturbed)


def wait_for(condition: Callable[[], bool], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"nothing came of it in {seconds} seconds"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop(number: int, text: Corpus, undisturbed: Path, tmp_path: Path) -> None:
    """One line that says how to go on, and no traceback; a second process is refused meanwhile."""
    folder = tmp_path / "run"
    config = vary(CONFIG, training={"steps": 100_000, "checkpoint_every": 1})
    slow = [sys.executable, "-m", "gqvae", "train", *text.inputs, "--out", str(folder), *as_options(config)]
    # a shell that puts the tests in its background has their SIGINT ignored, and with it their children's
    process = subprocess.Popen(
        slow, stderr=subprocess.PIPE, text=True, preexec_fn=lambda: signal.signal(number, signal.SIG_DFL)
    )
    try:
        wait_for(lambda: (folder / "checkpoint.safetensors").exists() or process.poll() is not None)
        with pytest.raises(GqvaeError, match="another process is at work"):
            resume(folder)
        process.send_signal(number)
        _, error = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 128 + number
    assert "Traceback" not in error
    assert error.splitlines()[-1] == (
        f"gqvae: error: stopped by {signal.Signals(number).name}; "
        f"continue with the same command and --resume (the run is in {folder})"
    )
    assert Run.open(folder).config.training.steps == 100_000
    assert not list(folder.glob(".*"))


# Disks


def test_a_disk_that_is_full_at_any_moment(
    text: Corpus, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first file cannot be written, then the second, and so on; the same command goes on each time."""
    messages = []
    for at in FILES:
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", failing(os.replace, at))
            try:
                work(tmp_path, text)
            except GqvaeError as error:
                messages.append(str(error))
    assert len(messages) >= 20
    assert all("No space left on device" in message for message in messages)
    work(tmp_path, text)
    assert_same(tmp_path, undisturbed)


def write_little(folder: Path, text: Corpus, most: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    with pytest.raises(GqvaeError, match=r"cannot write .*File too large"):
        work(folder, text)


@pytest.mark.parametrize("most", [100, 1_500, 9_000])
def test_the_system_refuses_to_write_more(most: int, text: Corpus, undisturbed: Path, tmp_path: Path) -> None:
    """With a real limit of the kernel, which every library meets in its own way: no file beyond so many bytes."""
    process = multiprocessing.get_context("spawn").Process(target=write_little, args=(tmp_path, text, most))
    process.start()
    process.join()
    assert process.exitcode == 0
    work(tmp_path, text)
    assert_same(tmp_path, undisturbed)


def test_an_unwritable_folder_is_named(text: Corpus, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GqvaeError, match=r"cannot write .*file/run"):
        train(CONFIG, text, tmp_path / "file" / "run")


# Damage

DAMAGED: dict[str, str] = {
    "config.json": r"config\.json",
    "pretokens.parquet": r"pretokens\.parquet is missing, changed or damaged",
    "held_out.parquet": r"held_out\.parquet is missing, changed or damaged",
    "held_out.jsonl": r"held_out\.jsonl is missing, changed or damaged",
    "checkpoint.safetensors": r"checkpoint\.safetensors is not a checkpoint of gqvae, or damaged",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_flipped_bit_anywhere_is_noticed(name: str, undisturbed: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(undisturbed / "run", tmp_path / "run"))
    good, generator = (copy / name).read_bytes(), random.Random(0)
    for _ in range(25):
        at = generator.randrange(len(good))
        (copy / name).write_bytes(good[:at] + bytes([good[at] ^ (1 << generator.randrange(8))]) + good[at + 1 :])
        for use in (resume, lambda folder: distill(folder, tmp_path / "out")):
            with pytest.raises(GqvaeError, match=DAMAGED[name]):
                use(copy)
    (copy / name).unlink()
    with pytest.raises(GqvaeError, match=name):
        distill(copy, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_row_of_metrics_is_told_and_a_last_one_dropped(undisturbed: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(undisturbed / "run", tmp_path / "run"))
    rows = (copy / "metrics.jsonl").read_bytes()
    for last in (b"\0\0\0", b"[1]", b"\xff{", b'{"step": "x"}', b"[" * 100_000):
        (copy / "metrics.jsonl").write_bytes(rows + last)
        resume(copy)
        assert (copy / "metrics.jsonl").read_bytes() == rows
        (copy / "metrics.jsonl").write_bytes(last + b"\n" + rows)
        with pytest.raises(GqvaeError, match=r"metrics\.jsonl:1: no row of metrics"):
            resume(copy)


# The corpus


def test_a_corpus_that_vanishes_while_it_is_counted_leaves_no_run_and_then_works(
    text: Corpus, undisturbed: Path, tmp_path: Path
) -> None:
    class Vanishing(Corpus):
        def streamed(self) -> Iterator[Any]:
            yield from list(super().streamed())[:3]
            raise GqvaeError("gone")

    with pytest.raises(GqvaeError, match="gone"):
        train(CONFIG, Vanishing(text.inputs), tmp_path / "run")
    assert os.listdir(tmp_path / "run") == [LOCK]
    work(tmp_path, text)
    assert_same(tmp_path, undisturbed)


def at_step(step: int, disturb: Callable[[Trainer], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `disturb` called before this step."""
    take = Trainer._step

    def disturbed(trainer: Trainer) -> Any:
        if trainer.state.step == step:
            disturb(trainer)
        return take(trainer)

    monkeypatch.setattr(Trainer, "_step", disturbed)


def test_a_corpus_that_changes_after_the_count_changes_nothing(
    text: Corpus, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(text.inputs[0])
    kept = path.read_bytes()
    try:
        with monkeypatch.context() as patch:
            at_step(7, lambda _: path.write_text("other text"), patch)
            work(tmp_path, text)
    finally:
        path.write_bytes(kept)
    assert_same(tmp_path, undisturbed)


def test_a_loss_that_is_not_finite_leaves_the_checkpoint_to_go_on_from(
    text: Corpus, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A passing fault of the machine, here in the weights."""

    def poison(trainer: Trainer) -> None:
        for weights in trainer.model.parameters():
            weights.data.fill_(float("nan"))

    with monkeypatch.context() as patch:
        at_step(7, poison, patch)
        with pytest.raises(GqvaeError, match="the loss is nan at step 7; the last checkpoint is unharmed"):
            train(CONFIG, text, tmp_path / "run")
    work(tmp_path, text)
    assert_same(tmp_path, undisturbed)
