"""Compression as a setting: the price finds the bytes per token asked for, and the tokenizer has them."""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import torch
from learning import TINY, new_model, vary
from safetensors.torch import load_file

from gqvae.config import Config
from gqvae.corpus import Corpus
from gqvae.errors import GqvaeError
from gqvae.export.parity import unreachable_ids
from gqvae.learn.data import Sample
from gqvae.learn.distill import distill
from gqvae.learn.model import GQVAE
from gqvae.learn.rate import LOWEST, Curve, fewest, highest_price, miss
from gqvae.learn.revival import plan
from gqvae.learn.run import Run
from gqvae.learn.scores import meeting, occurring, static_ids
from gqvae.learn.segmenter import NeuralSegmenter
from gqvae.learn.team import Team
from gqvae.learn.training import Trainer, resume, train
from gqvae.names import load
from gqvae.selection import best
from gqvae.vocabulary import Vocabulary

TARGET = 3.0
SYLLABLES = ("lo", "ren", "mi", "sta", "ko", "vel", "du", "pra")
LEARNS = vary(
    Config.from_dict(TINY.to_dict() | {"vocab_size": 320}),
    objective={"target_bytes_per_token": TARGET},
    training={"steps": 160, "log_every": 40, "checkpoint_every": 160},
)
SHORT = vary(
    LEARNS, training={"steps": 40, "log_every": 10, "checkpoint_every": 12}, objective={"target_bytes_per_token": 1.5}
)
PIECES, WEIGHTS = [" the", " sun", "ny", "a", " there", "xyzxyz"], [5.0, 3.0, 2.0, 9.0, 1.0, 1.0]
SAMPLE = Sample(PIECES, WEIGHTS, sum(n * len(piece) for n, piece in zip(WEIGHTS, PIECES, strict=True)))


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Text of few words, so that a tiny network learns them in seconds."""
    rng, path = random.Random(0), tmp_path_factory.mktemp("words") / "words.jsonl"
    known = ["".join(rng.choices(SYLLABLES, k=rng.choice((1, 2, 2, 3)))) for _ in range(150)]
    odds = [1 / (rank + 5) for rank in range(len(known))]
    texts = [" ".join(rng.choices(known, odds, k=150)) for _ in range(24)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return Corpus((str(path),))


@pytest.fixture(scope="module")
def aimed(words: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(LEARNS, words, tmp_path_factory.mktemp("aimed") / "run")


def rows(run: Run) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run.metrics.read_text().splitlines()]


# The curve of a frozen network, and the price that meets a target


def segmenter(model: GQVAE, price: float) -> NeuralSegmenter:
    return NeuralSegmenter(model, mode="viterbi", price=price, weight=0.5, candidates=4)


def test_the_curve_counts_what_the_segmenter_emits() -> None:
    model = new_model()
    curve = Curve(segmenter(model, 0.0), SAMPLE)
    for price in (-6.0, 0.0, 3.0, 20.0):
        slow, tokens = segmenter(model, price), 0.0
        for piece, weight, result in zip(SAMPLE.pieces, SAMPLE.weights, slow.segment(SAMPLE.pieces), strict=True):
            for code, span in zip(result.codes, result.spans(piece), strict=True):
                tokens += weight * (1 if slow.strings[code] == span else min(3, len(span)))
        assert curve.at(price) == pytest.approx(SAMPLE.bytes / tokens)


def test_the_price_found_meets_the_target_or_is_at_a_limit(aimed: Run) -> None:
    model, sample = aimed.trained_model(), Sample.whole(aimed.measured)
    curve = Curve(aimed.segmenter("viterbi", model), sample)
    for target in (2.4, 2.6, 2.8):
        assert curve.at(curve.price_for(target, 4.0)) == pytest.approx(target, rel=0.03)
    assert curve.price_for(100.0, 4.0) == 4.0
    assert curve.price_for(1.0, 4.0) == pytest.approx(LOWEST, abs=0.1)
    prices = [curve.price_for(target, 4.0) for target in (2.4, 2.6, 2.8)]
    assert prices == sorted(prices)


def test_the_price_may_rise_above_its_start_only_late() -> None:
    config = vary(LEARNS, training={"steps": 100}, objective={"price": 3.0})
    assert [highest_price(config, step) for step in (0, 69, 70, 100)] == [3.0, 3.0, 12.0, 12.0]


@pytest.mark.parametrize(("target", "sign"), [(1.2, -1), (50.0, 1)])
def test_a_step_of_the_controller_goes_the_right_way(target: float, sign: int, aimed: Run, tmp_path: Path) -> None:
    config = vary(LEARNS, objective={"target_bytes_per_token": target})
    run = Run(tmp_path, config, aimed.corpus, aimed.pretokens, aimed.held_out)
    trainer = Trainer(run, Team.join(config.training))
    trainer.model.load_state_dict(aimed.trained_model().state_dict())
    trainer.model.price.fill_(1.0)
    trainer.state.step = 11  # between two moves
    trainer._move_price()
    assert trainer.model.price.item() == 1.0
    trainer.state.step = 15
    trainer._move_price()
    assert sign * (trainer.model.price.item() - 1.0) > 0


# Codes, vocabulary and scores


def test_codes_move_only_until_enough_tokens_are_saved() -> None:
    strings = ["a", "b", "c", "q", "r", "s", "t"]
    tokenized = [(["a", "b"], 9.0), (["b", "c"], 5.0), (["c", "a"], 3.0), (["d", "a"], 0.5)]
    emitted = [1.0] * len(strings)
    assert [move.string for move in plan(strings, tokenized, emitted, 2, 7)] == ["ab", "bc", "ca", "d"]
    assert [move.string for move in plan(strings, tokenized, emitted, 2, 7, enough=10)] == ["ab", "bc", "d"]
    assert [move.string for move in plan(strings, tokenized, emitted, 2, 7, enough=-1)] == ["d"]  # always spelled


def test_the_best_strings_are_never_filled_up() -> None:
    strings = Counter({"abc": 9, "ab": 2, "xy": 5})
    text_of = str.encode
    assert best(strings, 1_000, 8, text_of) == ["ab", "abc", "xy"]
    assert best(strings, 257 + 2, 8, text_of) == ["abc", "xy"]
    with pytest.raises(GqvaeError, match="no room"):
        best(strings, 257, 8, text_of)


def test_scores_are_moved_to_a_number_of_tokens() -> None:
    vocabulary = Vocabulary((b"ab", b"abc", b"bc"))
    scores = [-1.0] * 256 + [-1.2, -1.4, -1.6]
    texts, counts = [b"abc", b"ab", b"bc", b"abab"], [1.0, 2.0, 3.0, 4.0]

    def tokens(scores: list[float]) -> float:
        return sum(n * len(ids) for n, ids in zip(counts, static_ids(vocabulary, scores, texts), strict=True))

    few, many = tokens([score - 3 for score in scores]), tokens([score + 3 for score in scores])
    assert few < many
    for wanted in (few, many):
        assert tokens(meeting(wanted, vocabulary, scores, texts, counts)) == wanted
    assert meeting(few / 2, vocabulary, scores, texts, counts) == scores  # what cannot be is not tried


def test_strings_that_no_text_gives_go_and_shorter_ones_take_their_place() -> None:
    vocabulary = Vocabulary((b"ab", b"abab", b"abababab", b"cd"), ("<s>",))
    score_of = {b"ab": 1.0, b"abab": 1.5, b"abababab": 3.5, b"cd": 1.0}
    scores = [score_of.get(token, -1.0) for token in vocabulary.plain_tokens]
    kept, ids = occurring(vocabulary, scores, [(258,), (257, 259), (99, 256)])
    assert kept == Vocabulary((b"ab", b"cd"), ("<s>",))
    assert ids == [(256,) * 4, (256, 256, 257), (99, 256)]
    assert occurring(kept, [-1.0] * 258, ids) == (kept, ids)


# The whole chain


def test_a_run_reaches_its_target(aimed: Run) -> None:
    last = rows(aimed)[-1]
    assert last["bytes_per_token"] == pytest.approx(TARGET, rel=0.05)
    assert last["price"] == pytest.approx(load_file(aimed.checkpoint)["model.price"].item(), abs=1e-5)
    assert last["price"] != LEARNS.objective.price
    assert aimed.segmenter("viterbi", aimed.trained_model()).price == pytest.approx(last["price"], abs=1e-5)
    most = fewest(Sample.whole(aimed.measured), aimed.segmenter("viterbi", aimed.trained_model()).strings, 8)
    assert TARGET < 1.02 * most < 1.3 * TARGET  # the codebook stopped near the target


def test_so_does_its_tokenizer(aimed: Run, tmp_path: Path) -> None:
    report = distill(aimed.folder, tmp_path / "tokenizer")
    assert report["target"]["bytes_per_token"] == TARGET
    assert report["target"]["reached"] == pytest.approx(TARGET, rel=0.05)
    assert report["learned_strings"]["filled_in"] == 0
    assert report["vocab_size"] <= 320
    tokenizer = load(tmp_path / "tokenizer")
    assert unreachable_ids(tokenizer) == 0
    assert tokenizer.vocab_size == report["vocab_size"] == 257 + report["learned_strings"]["all"]
    rows = pyarrow.parquet.read_table(tmp_path / "tokenizer" / "segmentations.parquet").to_pylist()
    assert all(tokenizer.decode_bytes(row["ids"]) == row["piece"] for row in rows)


def test_a_target_out_of_reach_is_said(words: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = vary(SHORT, objective={"target_bytes_per_token": 7.5}, training={"steps": 20})
    train(config, words, tmp_path / "run")
    distill(tmp_path / "run", tmp_path / "tokenizer")
    said = capsys.readouterr().err.splitlines()
    for who in ("network", "tokenizer"):
        (line,) = [line for line in said if line.startswith(f"warning: the {who} gives")]
        assert "not the 7.5 asked for" in line
        assert "raise --vocab-size" in line


def test_a_miss_is_said_with_its_reason() -> None:
    assert miss(3.0, 3.05, 3.1) is None
    assert miss(3.0, 2.95, 2.95) is None
    assert "raise --vocab-size" in str(miss(3.0, 2.5, 2.7))
    assert "are not used so" in str(miss(3.0, 2.5, 3.1))
    assert "shorter tokens" in str(miss(3.0, 3.5, 3.6))


def test_a_resumed_run_goes_on_with_its_price(words: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(SHORT, words, tmp_path / "whole")
    assert len({row["price"] for row in rows(whole)}) > 2
    take = Trainer._step

    def stop(trainer: Trainer) -> Any:
        if trainer.state.step == 31:
            raise KeyboardInterrupt
        return take(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", stop)
        with pytest.raises(KeyboardInterrupt):
            train(SHORT, words, tmp_path / "parts")
    parts = resume(tmp_path / "parts")
    assert parts.checkpoint.read_bytes() == whole.checkpoint.read_bytes()
    assert [row["price"] for row in rows(parts)] == [row["price"] for row in rows(whole)]


def test_without_a_target_the_price_stays(words: Corpus, tmp_path: Path) -> None:
    config = vary(SHORT, objective={"target_bytes_per_token": None, "price": 3.3}, training={"steps": 20})
    run = train(config, words, tmp_path / "run")
    assert {row["price"] for row in rows(run)} == {3.3}
    assert torch.equal(load_file(run.checkpoint)["model.price"], torch.tensor(3.3))


# Settings


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["objective.target_bytes_per_token=0"], r"^objective\.target_bytes_per_token must be more than 1"),
        (["objective.target_bytes_per_token=-2"], "must be more than 1"),
        (["objective.target_bytes_per_token=nan"], "needs a finite number"),
        (["objective.target_bytes_per_token=3", "objective.name=gates"], "needs name=marginal: gates has no price"),
    ],
)
def test_a_bad_target_is_refused(assignments: list[str], message: str) -> None:
    with pytest.raises(GqvaeError, match=message):
        Config().override(assignments)


def test_the_command_line_passes_it_on(words: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gqvae import cli
    from gqvae.learn import training

    seen: list[Config] = []
    monkeypatch.setattr(training, "train", lambda config, *_, **__: seen.append(config))
    arguments = ["train", *words.inputs, "--out", str(tmp_path / "run"), "--target-bytes-per-token", "3.2"]
    with pytest.raises(SystemExit) as exit_:
        cli.main(arguments)
    assert exit_.value.code in (0, None)
    assert seen[0].objective.target_bytes_per_token == 3.2
    with pytest.raises(SystemExit) as exit_:
        cli.main([*arguments, "--objective", "gates"])
    assert exit_.value.code == 1
