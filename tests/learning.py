"""A training small enough for tests, what it told and a way to stop it, and slow twins that several tests use."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import pytest
import torch

from gqvae.config import Config, ModelConfig, PretokenConfig, QuantizerConfig, TrainingConfig
from gqvae.corpus import Corpus
from gqvae.learn.model import GQVAE
from gqvae.learn.quantizers import make_quantizer
from gqvae.learn.run import Run
from gqvae.learn.segmenter import Mode
from gqvae.learn.training import Trainer
from gqvae.settings import _flat

TINY = Config(
    vocab_size=360,
    pretokens=PretokenConfig(window=12, held_out=0.2),
    model=ModelConfig(
        width=32, heads=2, encoder_layers=1, gater_layers=1, gater_channels=8,
        decoder_layers=1, decoder_width=48, character_width=16, longest_token=8,
    ),
    quantizer=QuantizerConfig(
        code_width=12, candidates=4, warmup_steps=10, revive_every=10, reservoir_size=500, reservoir_per_step=50
    ),
    training=TrainingConfig(
        steps=80, batch_symbols=512, learning_rate=4e-3, warmup_steps=5, sample_pretokens=300,
        log_every=20, checkpoint_every=15, threads=1, accelerator="cpu",
    ),
)  # fmt: skip

LONGEST = TINY.model.longest_token
OBJECTIVES = ("marginal", "gates")
QUANTIZERS = ("cosine", "ema", "gradient")  # whose codes are what they hold
MODES: tuple[Mode, ...] = ("gates", "viterbi")


def vary(config: Config, **sections: dict[str, Any]) -> Config:
    """`config` with some settings of some sections changed: vary(TINY, training={"steps": 5})."""
    return replace(config, **{name: replace(getattr(config, name), **to) for name, to in sections.items()})


# Passes warm-up, four rounds of codebook tending and two checkpoints, and ends between two.
SHORT = vary(TINY, training={"steps": 40, "log_every": 10, "checkpoint_every": 12, "sample_pretokens": 100})


def as_options(config: Config) -> list[str]:
    """A configuration as options of `gqvae train`: what is not the default."""
    ours, default = _flat(config.to_dict()), _flat(Config().to_dict())
    changed = {key: value for key, value in ours.items() if value != default[key]}
    return [f"--set={key}={'none' if value is None else value}" for key, value in changed.items()]


def write_corpus(path: Path, documents: int = 24, characters: int = 1500) -> Corpus:
    """The beginnings of some documentation topics."""
    texts = [topics[name][:characters] for name in sorted(topics)][:documents]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return Corpus((str(path),))


def new_model(quantizer: str = "cosine", codes: int = 20, config: Config = TINY, seed: int = 0) -> GQVAE:
    """An untrained model in evaluation mode."""
    torch.manual_seed(seed)
    settings = replace(config.quantizer, name=quantizer)
    return GQVAE(config.model, make_quantizer(settings, codes, config.model.width), config.pretokens.window).eval()


def metrics(run: Run) -> list[dict[str, Any]]:
    """The rows without the clock."""
    rows = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def interrupt_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control-C while this step is taken."""
    take = Trainer._step

    def stop(trainer: Trainer) -> Any:
        if trainer.state.step == step:
            raise KeyboardInterrupt
        return take(trainer)

    monkeypatch.setattr(Trainer, "_step", stop)


def tilings(length: int, longest: int) -> Iterator[list[tuple[int, int]]]:
    """Every segmentation of `length` bytes into tokens of at most `longest`, as spans (t, k) in order."""
    if length == 0:
        yield []
    for size in range(1, min(longest, length) + 1):
        for before in tilings(length - size, longest):
            yield [*before, (length - 1, size - 1)]
