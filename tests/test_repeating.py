"""Training repeats itself: a seed decides everything, however often the run is stopped, killed and resumed."""

import json
import multiprocessing
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from learning import SHORT, TINY, interrupt_at, metrics, vary
from safetensors.torch import load_file

from gqvae.config import Config
from gqvae.corpus import Corpus
from gqvae.learn.distill import distill
from gqvae.learn.run import Run
from gqvae.learn.training import resume, train


def assert_same_state(one: Run, other: Run) -> None:
    ours, theirs = load_file(one.checkpoint), load_file(other.checkpoint)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name
    assert one.checkpoint.read_bytes() == other.checkpoint.read_bytes()


def test_a_seed_decides_everything(corpus: Corpus, tmp_path: Path) -> None:
    first, again = (train(SHORT, corpus, tmp_path / name) for name in ("first", "again"))
    assert metrics(first) == metrics(again)
    assert_same_state(first, again)
    other = train(Config.from_dict(SHORT.to_dict() | {"seed": 1}), corpus, tmp_path / "other")
    assert metrics(other) != metrics(first)


def test_two_threads_give_the_same_every_time(corpus: Corpus, tmp_path: Path) -> None:
    """With batches large enough for torch to share a look-up's gradient among threads (32,768 entries)."""
    before = torch.get_num_threads()
    config = vary(SHORT, training={"steps": 20, "threads": 2, "batch_symbols": 8_192})
    try:
        first, again = (train(config, corpus, tmp_path / name) for name in ("first", "again"))
    finally:
        torch.set_num_threads(before)
    assert_same_state(first, again)


@pytest.mark.parametrize(
    ("objective", "quantizer", "revival"),
    [
        ("marginal", "cosine", "needs"),
        ("marginal", "ema", "needs"),
        ("gates", "gradient", "reservoir"),
        ("marginal", "gumbel", "needs"),
        ("marginal", "residual", "needs"),
        ("marginal", "soft_topk", "none"),
        ("marginal", "simvq", "needs"),
    ],
)
def test_a_resumed_run_ends_as_if_it_had_never_stopped(
    objective: str, quantizer: str, revival: str, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped before the first checkpoint, and once more with a lexicon and half a window of metrics in flight."""
    config = vary(SHORT, objective={"name": objective}, quantizer={"name": quantizer, "revival": revival})
    whole = train(config, corpus, tmp_path / "whole")
    torch.manual_seed(99)  # nothing may depend on the global generator
    with monkeypatch.context() as patch:
        interrupt_at(5, patch)
        with pytest.raises(KeyboardInterrupt):
            train(config, corpus, tmp_path / "parts")
    with monkeypatch.context() as patch:
        interrupt_at(27, patch)
        with pytest.raises(KeyboardInterrupt):
            resume(tmp_path / "parts")
    pretend_an_hour(tmp_path / "parts" / "metrics.jsonl")
    parts = resume(tmp_path / "parts", config)
    assert_same_state(parts, whole)
    assert [row["step"] for row in metrics(parts)] == [row["step"] for row in metrics(whole)]
    assert metrics(parts)[-1] == metrics(whole)[-1]
    assert json.loads(parts.metrics.read_text().splitlines()[-1])["seconds"] >= 3600


def pretend_an_hour(path: Path) -> None:
    """What was trained so far took an hour."""
    rows = map(json.loads, path.read_text().splitlines())
    path.write_text("".join(json.dumps(row | {"seconds": 3600.0}) + "\n" for row in rows))


def test_a_killed_run_gives_the_same_tokenizer(
    trained: Run, distilled: tuple[Path, dict[str, Any]], corpus: Corpus, tmp_path: Path
) -> None:
    """SIGKILL at a random moment; then resumed in this process."""
    folder = tmp_path / "run"
    process = multiprocessing.get_context("spawn").Process(target=train, args=(TINY, corpus, folder))
    process.start()
    while process.is_alive() and not (folder / "config.json").exists():
        time.sleep(0.01)
    seconds = json.loads(trained.metrics.read_text().splitlines()[-1])["seconds"]
    time.sleep(random.uniform(0, 0.9 * seconds))
    process.kill()
    process.join()
    assert process.exitcode in (-signal.SIGKILL, 0)

    resumed = resume(folder)
    assert_same_state(resumed, trained)
    distill(folder, tmp_path / "tokenizer", name="tiny")
    assert (tmp_path / "tokenizer" / "gqvae.json").read_bytes() == (distilled[0] / "gqvae.json").read_bytes()


def test_resuming_a_finished_run_changes_nothing(trained: Run, tmp_path: Path) -> None:
    copy = shutil.copytree(trained.folder, tmp_path / "copy")
    assert metrics(resume(copy, TINY)) == metrics(trained)
    assert (copy / "checkpoint.safetensors").read_bytes() == trained.checkpoint.read_bytes()


def test_a_row_of_metrics_cut_short_by_a_kill_is_dropped(trained: Run, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(trained.folder, tmp_path / "copy"))
    with (copy / "metrics.jsonl").open("a") as file:
        file.write('{"step": 90, "lo')
    assert metrics(resume(copy)) == metrics(trained)
    (copy / "metrics.jsonl").write_bytes(trained.metrics.read_bytes().removesuffix(b"\n"))
    resume(copy)
    assert (copy / "metrics.jsonl").read_bytes() == trained.metrics.read_bytes()
