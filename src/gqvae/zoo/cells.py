"""The cells of a comparison of quantizers: trainings, and costs of a step."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gqvae.config import Config
from gqvae.evaluation.intrinsic import measure
from gqvae.learn import metrics
from gqvae.learn.alphabet import Alphabet, SymbolTable
from gqvae.learn.data import Batches
from gqvae.learn.distill import distill
from gqvae.names import load
from gqvae.presets import preset
from gqvae.pretokens import count_pretokens
from gqvae.reproduce.learned import trained
from gqvae.reproduce.process import Work
from gqvae.reproduce.workspace import Space
from gqvae.zoo.arms import DEFAULT
from gqvae.zoo.cost import cost
from gqvae.zoo.settings import ZooSettings, arm


class ZooSpace(Space[ZooSettings]):
    """The folder of `gqvae compare-quantizers`."""

    kind = ZooSettings


@dataclass(frozen=True, kw_only=True)
class Training:
    """A cell that trains and distills."""

    key: str
    arm: str
    seed: int
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Cost:
    """A cell that measures steps."""

    key: str
    arm: str
    codes: int
    needs: tuple[str, ...] = ()


Cell = Training | Cost


def plan(settings: ZooSettings, done: Mapping[str, dict[str, Any]]) -> list[Cell]:
    """A first seed of everything, costs, then the other seeds: a comparison cut short has all arms."""
    trainings: list[Cell] = [
        Training(key=f"{each}-seed{seed}", arm=each, seed=seed) for seed in settings.seeds for each in settings.arms
    ]
    costs: list[Cell] = [
        Cost(key=f"{each}-cost{size}", arm=each, codes=size)
        for size in settings.cost_sizes
        for each in settings.arms
        if arm(each).costed
    ]
    first = len(settings.arms)
    return [*trainings[:first], *costs, *trainings[first:]]


def cell_of(settings: ZooSettings, key: str) -> Cell:
    return next(cell for cell in plan(settings, {}) if cell.key == key)


def config_of(settings: ZooSettings, key: str, seed: int) -> Config:
    """The configuration of an arm."""
    shared = [f"vocab_size={settings.vocab_size}", f"training.steps={settings.steps}", f"seed={seed}"]
    every = [f"training.{when}_every={max(1, settings.steps // 4)}" for when in ("log", "checkpoint")]
    return preset("tiny").override(
        [*shared, *every, "training.threads=1", "training.accelerator=cpu", *settings.model, *arm(key).settings]
    )


def run_cell(space: ZooSpace, cell: Cell) -> dict[str, Any]:
    return _trained(space, cell) if isinstance(cell, Training) else _cost(space, cell)


def _trained(space: ZooSpace, cell: Training) -> dict[str, Any]:
    settings, folder = space.settings(), space.cell(cell.key)
    begun, start = (folder / "run" / "config.json").exists(), time.process_time()
    run = trained(space, config_of(settings, cell.arm, cell.seed), folder / "run")
    seconds = None if begun else time.process_time() - start  # what was cut off took its time, too
    report = distill(folder / "run", folder / "tokenizer", name=cell.key)
    tokenizer = measure(load(folder / "tokenizer"), space.held_out(), space.training())
    network = metrics.read(run.metrics)[-1]
    return {
        "arm": cell.arm,
        "seed": cell.seed,
        "mode": run.mode,
        "network": network,
        "codebook": report["codebook"],
        "learned_strings": report["learned_strings"],
        "stages": {row["stage"]: row["bytes_per_token"] for row in report["held_out_stages"]},
        "agreement": report["agreement"],
        "tokenizer": {key: tokenizer[key] for key in ("bytes_per_token", "vocab_size", "used_ids", "lossless")},
        "seconds": seconds,
    }


def _cost(space: ZooSpace, cell: Cost) -> dict[str, Any]:
    settings = space.settings()
    ours, default = (
        config_of(settings, each, settings.seeds[0]).override(
            [f"quantizer.codes={cell.codes}", f"training.batch_symbols={settings.cost_symbols}"]
        )
        for each in (cell.arm, DEFAULT)
    )
    pretokens = count_pretokens(space.training(), pattern=ours.pretokens.pattern, window=ours.pretokens.window)
    table = SymbolTable.of(pretokens, Alphabet(), ours.pretokens.window)
    batches = Batches(table, ours.training.count_exponent, settings.cost_symbols)
    return {"arm": cell.arm, "codes": cell.codes, **cost(ours, default, batches, settings.cost_steps)}


WORK = Work(ZooSpace, plan, cell_of, run_cell, spent="run")
