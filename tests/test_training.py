"""Training at a tiny size: it learns, repeats itself, survives a kill, and says what is wrong."""

import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from learning import OBJECTIVES, QUANTIZERS, TINY, vary
from safetensors.torch import load_file

from gqvae.config import Config
from gqvae.corpus import Corpus
from gqvae.errors import GqvaeError
from gqvae.files import LOCK
from gqvae.learn import checkpoint
from gqvae.learn.distill import distill
from gqvae.learn.metrics import collapse
from gqvae.learn.run import Run
from gqvae.learn.training import Trainer, learning_rate_at, resume, train, weight_at

# Passes warm-up, four rounds of codebook tending and two checkpoints, and ends between two.
SHORT = vary(TINY, training={"steps": 40, "log_every": 10, "checkpoint_every": 12, "sample_pretokens": 100})


def metrics(run: Run) -> list[dict[str, Any]]:
    """The rows without the clock."""
    rows = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def assert_same_state(one: Run, other: Run) -> None:
    ours, theirs = load_file(one.checkpoint), load_file(other.checkpoint)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name
    assert one.checkpoint.read_bytes() == other.checkpoint.read_bytes()


def interrupt_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control-C while this step is taken."""
    take = Trainer._step

    def stop(trainer: Trainer) -> Any:
        if trainer.state.step == step:
            raise KeyboardInterrupt
        return take(trainer)

    monkeypatch.setattr(Trainer, "_step", stop)


# Learning


def test_it_learns(trained: Run) -> None:
    rows = metrics(trained)
    every = TINY.training.log_every, TINY.training.checkpoint_every
    due = [step for step in range(1, TINY.training.steps + 1) if not step % every[0] or not step % every[1]]
    assert [row["step"] for row in rows] == due
    assert rows[-1]["nats_per_byte"] < 0.6 * rows[0]["nats_per_byte"]
    assert rows[-1]["exact_codes"] > 0.3 > rows[0]["exact_codes"]


def test_a_row_of_metrics_says_what_the_figure_draws(trained: Run) -> None:
    for row in metrics(trained):
        assert sum(row["gate_histogram"]) > 0
        assert len(row["gate_histogram"]) == 10
        assert 0 <= row["exact_codes"] <= 1
        assert 1 <= row["perplexity"] <= row["codes_used"] <= trained.codes()
        assert 1 <= row["bytes_per_token"] <= TINY.model.longest_token
        assert row["tokens_per_pretoken_soft"] >= 1
        assert row["tokens_per_pretoken_hard"] >= 1
        assert row["price"] == TINY.objective.price


def test_schedules() -> None:
    config = vary(TINY, training={"steps": 1000, "warmup_steps": 10, "final_learning_rate": 0.1})
    assert [weight_at(config, step) for step in (0, 150, 425, 700, 999)] == [1, 1, 3.5, 6, 6]
    assert learning_rate_at(config, 0) == pytest.approx(0.1)
    assert learning_rate_at(config, 500) == pytest.approx(0.55)
    assert learning_rate_at(config, 1000) == pytest.approx(0.1)


def test_held_out_documents_are_not_trained_on(trained: Run, corpus: Corpus) -> None:
    documents = list(corpus.documents())
    kept = list(Corpus((str(trained.folder / "held_out.jsonl"),)).documents())
    assert 0 < len(kept) < len(documents)
    assert trained.pretokens.provenance["documents"] == len(documents) - len(kept)
    assert trained.pretokens.total_bytes + trained.held_out.total_bytes == sum(len(d.encode()) for d in documents)


# Repeating itself


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
    parts = resume(tmp_path / "parts", config)
    assert_same_state(parts, whole)
    assert [row["step"] for row in metrics(parts)] == [row["step"] for row in metrics(whole)]
    assert metrics(parts)[-1] == metrics(whole)[-1]


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


# What goes wrong is said


def test_an_existing_run_is_not_overwritten(trained: Run, corpus: Corpus) -> None:
    before = trained.checkpoint.read_bytes()
    with pytest.raises(GqvaeError, match="already holds a run: continue it with --resume"):
        train(TINY, corpus, trained.folder)
    assert trained.checkpoint.read_bytes() == before


def test_resuming_with_other_settings_is_refused_by_name(trained: Run) -> None:
    with pytest.raises(GqvaeError, match=r"other settings \(objective.price: 4.0, not 4.5\)"):
        resume(trained.folder, vary(TINY, objective={"price": 4.5}))
    with pytest.raises(GqvaeError, match=r"was started on .*name the same text"):
        resume(trained.folder, TINY, ["other.txt"])


def test_resuming_nothing(tmp_path: Path) -> None:
    with pytest.raises(GqvaeError, match="is not the folder of a training run"):
        resume(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "empty", "garbage", "header", "folder", "format", "foreign"])
def test_a_damaged_checkpoint_is_a_clear_error(damage: str, trained: Run, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    copy = Path(shutil.copytree(trained.folder, tmp_path / "copy"))
    path = copy / "checkpoint.safetensors"
    data = path.read_bytes()
    tensors = load_file(path)
    path.unlink()
    match damage:
        case "cut":
            path.write_bytes(data[: len(data) // 2])
        case "empty":
            path.write_bytes(b"")
        case "garbage":
            path.write_bytes(random.Random(0).randbytes(1000))
        case "header":
            path.write_bytes(data[:20] + b"\xff" + data[21:])
        case "folder":
            path.mkdir()
        case "format":
            save_file(tensors, path, {"gqvae": '{"format": 99, "step": 1}'})
        case "foreign":
            save_file(tensors, path)
    for use in (lambda: resume(copy), lambda: distill(copy, tmp_path / "out")):
        with pytest.raises(GqvaeError, match=r"checkpoint\.safetensors"):
            use()
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_of_another_model_is_a_clear_error(trained: Run, corpus: Corpus, tmp_path: Path) -> None:
    config = vary(TINY, model={"width": 16}, training={"steps": 1})
    other = train(config, corpus, tmp_path / "other")
    shutil.copy(trained.checkpoint, other.checkpoint)
    for use in (lambda: resume(other.folder), lambda: distill(other.folder, tmp_path / "out")):
        with pytest.raises(GqvaeError, match="does not fit"):
            use()


def test_an_unfinished_run_is_not_distilled(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_at(13, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(SHORT, corpus, tmp_path / "run")
    with pytest.raises(GqvaeError, match="trained for 12 of 40 steps: finish it with --resume"):
        distill(tmp_path / "run", tmp_path / "out")


def test_a_loss_that_is_not_finite_stops_the_training(corpus: Corpus, tmp_path: Path) -> None:
    config = vary(SHORT, training={"learning_rate": 1e30, "checkpoint_every": 1})
    with pytest.raises(GqvaeError, match=r"the loss is (nan|inf) at step \d+.*training\.learning_rate"):
        train(config, corpus, tmp_path / "run")


@pytest.mark.parametrize(
    ("rate", "warning"), [(0.0, "tokens end only where forced"), (1.0, "nearly every byte ends a token")]
)
def test_gates_that_collapse_are_told_while_training(
    rate: float, warning: str, corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    objective = {"name": "gates", "target_rate": rate, "rate_weight": 1000.0}
    config = vary(SHORT, objective=objective, training={"steps": 20})
    train(config, corpus, tmp_path / "run")
    assert f"step 20: the gates have collapsed: {warning}" in " ".join(capsys.readouterr().err.split())


def test_healthy_gates_are_no_collapse(trained: Run) -> None:
    assert collapse({"inner_gate_rate": 0.3, "exact_codes": 0.1}) is None
    assert collapse({"inner_gate_rate": 0.0, "exact_codes": 0.9}) is None


def test_a_corpus_without_text_and_a_run_without_a_size(corpus: Corpus, tmp_path: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_text("")
    with pytest.raises(GqvaeError, match="no text to train on"):
        train(TINY, Corpus((str(empty),)), tmp_path / "one")
    with pytest.raises(GqvaeError, match=r"set vocab_size or quantizer\.codes"):
        train(Config.from_dict(TINY.to_dict() | {"vocab_size": None}), corpus, tmp_path / "two")


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_every_objective_trains_every_quantizer_to_a_lossless_tokenizer(
    objective: str, quantizer: str, corpus: Corpus, tmp_path: Path
) -> None:
    from gqvae.tokenizer import load

    config = vary(SHORT, objective={"name": objective}, quantizer={"name": quantizer}, training={"steps": 22})
    run = train(config, corpus, tmp_path / "run")
    report = distill(run.folder, tmp_path / "tokenizer")
    tokenizer = load(tmp_path / "tokenizer")
    assert tokenizer.vocab_size == report["vocab_size"] == config.vocab_size
    for document in corpus.documents():
        assert tokenizer.decode(tokenizer.encode(document)) == document


def test_reading_the_number_of_codes_of_what_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    for prepare in (lambda: None, lambda: path.write_bytes(b"no")):
        prepare()
        with pytest.raises(GqvaeError, match=r"checkpoint\.safetensors"):
            checkpoint.load_model(path, torch.nn.Linear(1, 1))
    assert os.listdir(tmp_path) == ["checkpoint.safetensors"]


def test_skips_are_told_and_no_text_leaves_no_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "text.jsonl"
    path.write_text('{"colour": "blue"}\n')
    with pytest.raises(GqvaeError, match="no text to train on"):
        train(TINY, Corpus((str(path),), on_error="skip"), tmp_path / "run")
    assert "skipped 1: " in capsys.readouterr().err
    assert os.listdir(tmp_path / "run") == [LOCK]
