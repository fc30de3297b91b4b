"""A step of training on a GPU: bf16 and torch.compile against float32, the share of the search, and the padded twin.

Steps are whole ones of the preset `small`: batch, gradient, optimiser. The search is that for the nearest codes and its
gradient, repeated by itself on what a step asked for. The twin, for which such batches are too large, gets those of
`tiny` (`training`). Needs a GPU.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from timing import keep, parser, side_by_side
from training import LARGE, LARGE_BATCH, draw_batches, step_tasks

from gqvae.config import Config
from gqvae.corpus import Corpus
from gqvae.learn.nearest import nearest_few
from gqvae.learn.run import Run
from gqvae.learn.team import Team
from gqvae.learn.training import Trainer
from gqvae.presets import preset
from gqvae.pretokens import Counting

SIZES = (8_192, LARGE)
"""Codes; torch.compile is tried with the first alone, as it takes a minute."""
ARMS = {
    "float32": ["training.precision=32-true"],
    "bf16": ["training.precision=bf16-mixed"],
    "bf16, compiled": ["training.precision=bf16-mixed", "training.compile=true"],
}
SHORT = ["training.steps=24", "quantizer.warmup_steps=8", "quantizer.revive_every=1000", "training.warmup_steps=5"]
"""Enough that codes have begun and been given strings."""
STEPS = 20
"""Timed at once."""


def main() -> None:
    given = parser(__doc__, "wikipedia_train.txt").parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("there is no GPU here")
    with tempfile.TemporaryDirectory() as folder:
        corpus = Corpus((str(given.text),))
        begun = Run.prepare(Path(folder) / "run", preset("small"), corpus, Counting(workers=1))
        rows = _steps(begun, SIZES[0], list(ARMS), given.repeats) + _steps(
            begun, SIZES[1], list(ARMS)[:2], given.repeats
        )
        tiny = Run.prepare(Path(folder) / "tiny", preset("tiny"), corpus, Counting(workers=1))
    rows += [_against_twin(tiny, given.repeats), _weighed(tiny)]
    keep("gpu", f"`small` on {given.text.name}, {torch.cuda.get_device_name()}, torch {torch.__version__}", rows)


def _steps(begun: Run, codes: int, arms: list[str], repeats: int) -> list[dict[str, Any]]:
    """One row an arm."""
    tasks: dict[str, Callable[[], None]] = {}
    rows = []
    for arm in arms:
        config = begun.config.override([f"quantizer.codes={codes}", *SHORT, *ARMS[arm]])
        trainer = _trained(begun, config, arm)
        seconds, peak = _search(trainer)
        rows.append({"what": f"step, {codes:,} codes, {arm}", "search": seconds, "peak GB": peak})
        tasks[arm] = lambda trainer=trainer: _timed(trainer)  # type: ignore[misc]
    found = side_by_side(tasks, repeats)
    for arm, row in zip(arms, rows, strict=True):
        row["x faster"] = found["float32"] / found[arm]
        row["search, share of step"] = row.pop("search") / (found[arm] / STEPS)
        print(row, f"{1e3 * found[arm] / STEPS:.1f} ms", flush=True)
    return rows


def _trained(begun: Run, config: Config, arm: str) -> Trainer:
    run = begun.derive(begun.folder.with_name(f"{arm}-{config.quantizer.codes}"), config)
    start = time.perf_counter()
    trainer = Trainer(run, Team.join(config.training))
    trainer.fit()
    print(
        f"{arm}: {config.training.steps} steps and all around them in {time.perf_counter() - start:.0f} s", flush=True
    )
    return trainer


def _timed(trainer: Trainer) -> None:
    for _ in range(STEPS):
        trainer._step()
    torch.cuda.synchronize()


def _search(trainer: Trainer) -> tuple[float, float]:
    """Seconds of the search for the nearest codes and its gradient in a step, and GB that a step takes at most."""
    asked: list[Any] = []

    def remembering(*arguments: Any) -> Any:
        asked.append(arguments)
        return nearest_few(*arguments)

    torch.cuda.reset_peak_memory_stats()
    with mock.patch("gqvae.learn.quantizers.base.nearest_few", remembering):
        for _ in range(STEPS):
            trainer._step()
    peak = torch.cuda.max_memory_allocated() / 1e9
    inputs = [[x.detach().requires_grad_() for x in arguments[:3]] + list(arguments[3:]) for arguments in asked]

    def again() -> None:
        for arguments in inputs:
            nearest_few(*arguments)[0].sum().backward()
        torch.cuda.synchronize()

    again()
    return side_by_side({"search": again}, 3)["search"] / len(inputs), peak


def _against_twin(run: Run, repeats: int) -> dict[str, Any]:
    batches = [batch.cuda() for batch in draw_batches(run, run.config, 3)]
    with torch.device("cuda"):
        tasks = step_tasks(run, SIZES[0], batches)
        theirs, ours = (task() for task in tasks.values())
        assert abs(theirs - ours) < 1e-3 * abs(ours), (theirs, ours)
        seconds = side_by_side(tasks, repeats)
    ratio = seconds["padded, one-hot"] / seconds["ours"]
    return {"what": f"loss and gradient against the padded twin, `tiny`, {SIZES[0]:,} codes", "x faster": ratio}


def _weighed(run: Run) -> dict[str, Any]:
    batches = [
        batch.cuda() for batch in draw_batches(run, run.config.override([f"training.batch_symbols={LARGE_BATCH}"]), 1)
    ]
    grown = {}
    for name in ("ours", "padded, one-hot"):
        with torch.device("cuda"):
            task = step_tasks(run, LARGE, batches)[name]
            before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            task()
            grown[name] = torch.cuda.max_memory_allocated() - before
    ratio = grown["padded, one-hot"] / grown["ours"]
    return {"what": f"memory of a step, `tiny`, {LARGE:,} codes: {grown['ours'] / 1e6:.0f} MB", "x less": ratio}


if __name__ == "__main__":
    main()
