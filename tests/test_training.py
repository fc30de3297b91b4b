"""Training at a tiny size: it learns, and says what is wrong."""

import os
from dataclasses import replace
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import pytest
import torch
from learning import OBJECTIVES, QUANTIZERS, SHORT, TINY, interrupt_at, metrics, vary

from gqvae.corpus import Corpus
from gqvae.errors import GqvaeError
from gqvae.files import LOCK
from gqvae.learn import training
from gqvae.learn.checkpoint import restore
from gqvae.learn.data import Sample
from gqvae.learn.distill import distill
from gqvae.learn.metrics import collapse, of_segmentation
from gqvae.learn.run import Run
from gqvae.learn.team import Team
from gqvae.learn.training import MEASURE_PRETOKENS, Trainer, learning_rate_at, resume, train, weight_at
from gqvae.pretokens import Counting

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
        last = row["step"] - 1
        assert row["reconstruction_weight"] == weight_at(TINY, last)
        assert row["learning_rate"] == TINY.training.learning_rate * learning_rate_at(TINY, last)


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
        resume(trained.folder, TINY, Corpus(("other.txt",)))
    with pytest.raises(GqvaeError, match=r"started on .*topics.jsonl \(field 'text'\); name the same text, to be read"):
        resume(trained.folder, TINY, replace(trained.corpus, field="body"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(GqvaeError, match=r"training\.accelerator=cuda: "):
        train(vary(TINY, training={"accelerator": "cuda"}), corpus, tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_resuming_nothing(tmp_path: Path) -> None:
    with pytest.raises(GqvaeError, match="is not the folder of a training run"):
        resume(tmp_path)


def test_an_unfinished_run_is_not_distilled(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_at(13, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(SHORT, corpus, tmp_path / "run")
    with pytest.raises(GqvaeError, match="trained for 12 of 40 steps: finish it with --resume"):
        distill(tmp_path / "run", tmp_path / "out")


def test_steps_that_quantize_nothing_and_text_without_held_out_documents_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "one.txt"
    text.write_text(" ".join(topics[name] for name in sorted(topics))[:20_000])
    config = vary(SHORT, training={"steps": 3}, quantizer={"warmup_steps": 3})
    run = train(config, Corpus((str(text),)), tmp_path / "run")
    told = capsys.readouterr().err
    assert "no document is held out, so all that this run measures is measured on the training text" in told
    assert "of 3 steps nothing is quantized in the first 3" in told
    assert distill(run.folder, tmp_path / "out")["measured_on"] == "the training text"


def test_a_usual_run_is_measured_on_held_out_text(trained: Run, distilled: tuple[Path, dict[str, Any]]) -> None:
    assert trained.held_out.pieces
    assert distilled[1]["measured_on"] == "held-out text"


def test_a_loss_that_is_not_finite_stops_the_training(corpus: Corpus, tmp_path: Path) -> None:
    config = vary(SHORT, training={"learning_rate": 1e30, "checkpoint_every": 1})
    with pytest.raises(GqvaeError, match=r"the loss is (nan|inf) at step \d+.*training\.learning_rate"):
        train(config, corpus, tmp_path / "run")


def test_what_steps_leave_in_memory_is_no_latents(corpus: Corpus, tmp_path: Path) -> None:
    run, team = Run.prepare(tmp_path / "run", SHORT, corpus, Counting()), Team.join(SHORT.training)
    first, second = Trainer(run, team), Trainer(run, replace(team, rank=1))
    for _ in range(3):
        outcome = first._step()
        first._keep_score(outcome)
        second._keep_score(outcome)
    assert (len(first.window), second.window) == (3, [])  # the first process alone writes rows of the metrics
    left = [tensor for outcome in first.window for tensor in (outcome.latents, outcome.errors)]
    assert sum(tensor.untyped_storage().nbytes() for tensor in left) == 0


@pytest.mark.parametrize(("revival", "way"), [("needs", "exchange"), ("reservoir", "_set_codes"), ("none", "read")])
def test_codes_are_moved_as_asked(
    revival: str, way: str, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = set()

    def watch(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def watched(*arguments: Any) -> Any:
            used.add(name)
            return real(*arguments)

        monkeypatch.setattr(owner, name, watched)

    for owner, name in ((training, "exchange"), (training, "read"), (training.Trainer, "_set_codes")):
        watch(owner, name)
    train(vary(SHORT, quantizer={"revival": revival}), corpus, tmp_path / "run")
    assert used == {way}


def test_the_codebook_settles_at_the_end(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shares = []
    exchange = training.exchange

    def watched(*arguments: Any) -> Any:
        shares.append(arguments[4])
        return exchange(*arguments)

    monkeypatch.setattr(training, "exchange", watched)
    train(SHORT, corpus, tmp_path / "run")
    quantizer, steps = SHORT.quantizer, SHORT.training.steps
    due = range(quantizer.warmup_steps, steps + 1, quantizer.revive_every)
    assert shares == [quantizer.revive_share if step < quantizer.revive_until * steps else 0.0 for step in due]
    assert 0.0 in shares


def test_the_paper_s_objective_is_measured_by_the_paper_s_inference(corpus: Corpus, tmp_path: Path) -> None:
    run = train(vary(SHORT, objective={"name": "gates", "price": 3.0}), corpus, tmp_path / "run")
    model, last = run.trained_model(), metrics(run)[-1]
    assert model.price == 3.0
    sample = Sample.of(run.measured, MEASURE_PRETOKENS, torch.Generator().manual_seed(SHORT.seed))
    by_gates = of_segmentation(run.segmenter("gates", model), sample)
    assert by_gates == {key: last[key] for key in by_gates}
    assert by_gates != of_segmentation(run.segmenter("viterbi", model), sample)


def test_the_paper_s_objective_holds_the_decoder_to_no_string(corpus: Corpus, tmp_path: Path) -> None:
    for name in OBJECTIVES:
        config = vary(SHORT, objective={"name": name}, training={"steps": 25})
        run = train(config, corpus, tmp_path / name)
        state = Trainer(run, Team.join(config.training)).state
        restore(run.checkpoint, state)
        assert (state.lexicon is None) == (name == "gates")


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


def test_a_corpus_without_text_and_a_run_without_a_size(tmp_path: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_text("")
    with pytest.raises(GqvaeError, match="no text to train on"):
        train(TINY, Corpus((str(empty),)), tmp_path / "one")
    with pytest.raises(GqvaeError, match=r"set vocab_size or quantizer\.codes"):
        replace(TINY, vocab_size=None)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_every_objective_trains_every_quantizer_to_a_lossless_tokenizer(
    objective: str, quantizer: str, corpus: Corpus, tmp_path: Path
) -> None:
    from gqvae.names import load

    config = vary(SHORT, objective={"name": objective}, quantizer={"name": quantizer}, training={"steps": 22})
    run = train(config, corpus, tmp_path / "run")
    report = distill(run.folder, tmp_path / "tokenizer")
    tokenizer = load(tmp_path / "tokenizer")
    assert tokenizer.vocab_size == report["vocab_size"] == config.vocab_size
    for document in corpus.documents():
        assert tokenizer.decode(tokenizer.encode(document)) == document


def test_skips_are_told_and_no_text_leaves_no_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "text.jsonl"
    path.write_text('{"colour": "blue"}\n')
    with pytest.raises(GqvaeError, match="no text to train on"):
        train(TINY, Corpus((str(path),), on_error="skip"), tmp_path / "run")
    assert "skipped 1: " in capsys.readouterr().err
    assert os.listdir(tmp_path / "run") == [LOCK]
