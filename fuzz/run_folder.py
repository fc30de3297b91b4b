"""A run with one file damaged or forged, its hashes right or wrong: the run as it was, or an error of ours.

Only what has its right hash may differ from the run as it was, and then it is within bounds.
"""

import json
import shutil
import tempfile
from pathlib import Path

import torch

from fuzz.inputs import Choices, altered, as_json, damaged
from gqvae import GqvaeError
from gqvae.config import Config, ModelConfig, PretokenConfig, QuantizerConfig, TrainingConfig
from gqvae.corpus import Corpus
from gqvae.files import digest
from gqvae.learn.checkpoint import load_model
from gqvae.learn.metrics import forget_after
from gqvae.learn.run import Run
from gqvae.learn.training import train

torch.set_num_threads(1)
CONFIG = Config(
    vocab_size=280,
    pretokens=PretokenConfig(window=8, held_out=0.3),
    model=ModelConfig(
        width=8, heads=2, encoder_layers=1, gater_layers=1, gater_channels=2,
        decoder_layers=1, decoder_width=8, character_width=2, longest_token=3,
    ),
    quantizer=QuantizerConfig(code_width=4, warmup_steps=2, revive_every=2, reservoir_size=20, reservoir_per_step=5),
    training=TrainingConfig(steps=6, batch_symbols=64, log_every=2, checkpoint_every=3, threads=1, accelerator="cpu"),
)  # fmt: skip


def _trained() -> Run:
    folder = Path(tempfile.mkdtemp())
    text = folder / "text.jsonl"
    text.write_text("".join(json.dumps({"text": f"{word}s are {word} and {word}ing"}) + "\n" for word in "abcdefgh"))
    return train(CONFIG, Corpus((str(text),)), folder / "run")


GOOD = _trained()
NAMES = (
    "config.json",
    "checkpoint.safetensors",
    "pretokens.parquet",
    "held_out.parquet",
    "held_out.jsonl",
    "metrics.jsonl",
)
FILES = {name: (GOOD.folder / name).read_bytes() for name in NAMES}
WEIGHTS = GOOD.trained_model().state_dict()
FOLDER = Path(shutil.copytree(GOOD.folder, GOOD.folder.with_name("copy")))
SEEDS = [
    bytes([number, kind, *range(start, start + 30)])
    for number in range(len(NAMES))
    for kind in range(3)
    for start in (0, 99)
]


def check(data: bytes) -> None:
    choices = Choices(data)
    name, kind = choices.of(NAMES), choices.below(3)
    forged = kind == 2 and name == "config.json"
    if forged:
        content = altered(json.loads(FILES[name]), choices)
        if isinstance(content, dict):
            content["sha256"] = digest({key: value for key, value in content.items() if key != "sha256"})
        (FOLDER / name).write_bytes(as_json(content))
    else:
        (FOLDER / name).write_bytes(choices.rest() if kind == 1 else damaged(FILES[name], choices))
    try:
        run = Run.open(FOLDER)
        if forged:
            run.trained_model()
        else:
            assert (run.config, run.corpus, run.pretokens.pieces) == (GOOD.config, GOOD.corpus, GOOD.pretokens.pieces)
            model = run.new_model()
            assert load_model(run.checkpoint, model) == CONFIG.training.steps
            assert all(torch.equal(tensor, WEIGHTS[key]) for key, tensor in model.state_dict().items())
            forget_after(run.metrics, 4)
    except GqvaeError as error:
        assert str(FOLDER) in str(error) or forged
    finally:
        (FOLDER / name).write_bytes(FILES[name])
        (FOLDER / "metrics.jsonl").write_bytes(FILES["metrics.jsonl"])
