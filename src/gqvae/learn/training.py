"""Training: sample pretokens, step, move the codes that idle, measure, keep checkpoints.

The loop is ours because codes move between steps; devices, precision and the backward pass are Lightning Fabric's.
"""

import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch import Tensor

from gqvae.config import Config
from gqvae.corpus import Corpus
from gqvae.errors import GqvaeError
from gqvae.files import replacing
from gqvae.learn import checkpoint
from gqvae.learn.data import Batches, Sample
from gqvae.learn.model import GQVAE
from gqvae.learn.objectives import Outcome, make_objective
from gqvae.learn.quantizers.reservoir import Reservoir
from gqvae.learn.revival import exchange
from gqvae.learn.run import Run
from gqvae.learn.segmenter import Measures, Segmenter
from gqvae.learn.segments import open_lengths
from gqvae.terminal import say

MEASURE_PRETOKENS = 2_048  # distinct held-out pretokens behind each row of the metrics
DEAD = 0.5  # summed assignments since the last round below which the reservoir replaces a code


def train(config: Config, corpus: Corpus, out: Path, *, workers: int | None = None) -> Run:
    """Count the corpus and train from the start into the folder `out`. Raises GqvaeError if it holds a run.

    workers: processes that count a large corpus; None for one a core.
    """
    run = Run.prepare(out, config, corpus, workers or os.cpu_count() or 1)
    Trainer(run).fit()
    return run


def resume(out: Path, config: Config | None = None) -> Run:
    """Continue the run in `out` from its last checkpoint; it ends as if it had never stopped.

    Raises GqvaeError when `config` is given and is not the one the run was started with.
    """
    run = Run.open(out)
    if config is not None and config != run.config:
        raise GqvaeError(f"{out} was started with other settings ({run.config.difference(config)}); repeat those")
    trainer = Trainer(run)
    if run.checkpoint.exists():
        checkpoint.restore(run.checkpoint, trainer.state)
    _forget_rows_after(run.metrics, trainer.state.step)
    trainer.fit()
    return run


def weight_at(config: Config, step: int) -> float:
    """Weight of reconstruction against the price: low at first, so that long spans are tried while codes are still
    blurred; high at the end, so that inexact spans are too dear to use."""
    first, last = config.objective.reconstruction
    begin, end = (share * config.training.steps for share in config.objective.ramp)
    return first + (last - first) * min(1.0, max(0.0, (step - begin) / max(1.0, end - begin)))


def learning_rate_at(config: Config, step: int) -> float:
    """Share of the learning rate: linear warm-up, then cosine to `final_learning_rate`."""
    settings = config.training
    cosine = 0.5 * (1 + math.cos(math.pi * step / settings.steps))
    floor = settings.final_learning_rate
    return min(1.0, (step + 1) / max(1, settings.warmup_steps)) * (floor + (1 - floor) * cosine)


class Trainer:
    """One run in memory."""

    def __init__(self, run: Run) -> None:
        self.run, self.config = run, run.config
        settings = self.config.training
        if settings.threads:
            torch.set_num_threads(settings.threads)
        self.fabric = Fabric(accelerator=settings.accelerator, devices=1, precision=settings.precision)
        torch.manual_seed(self.config.seed)
        generator = torch.Generator().manual_seed(self.config.seed)
        model = run.new_model()
        optimizer = make_optimizer(model, self.config)
        self.objective = make_objective(model, self.config.objective, self.config.quantizer)
        self.stepper, self.optimizer = self.fabric.setup(self.objective, optimizer)
        device = self.fabric.device
        quantizer = self.config.quantizer
        reservoir = Reservoir(quantizer.reservoir_size, quantizer.reservoir_per_step, self.config.model.width)
        self.model: GQVAE = model
        self.state = checkpoint.State(
            step=0, model=model, reservoir=reservoir.to(device), optimizer=optimizer, generator=generator,
            usage=torch.zeros(model.quantizer.size, device=device), pins=None,
        )  # fmt: skip
        self.reservoir = reservoir
        self.batches = Batches(run.pretokens, settings.count_exponent, settings.batch_bytes)
        # fixed, whatever the generator has been through: a resumed run measures on the same sample
        table = run.held_out if run.held_out.pieces else run.pretokens
        self.measured = Sample.of(table, MEASURE_PRETOKENS, torch.Generator().manual_seed(self.config.seed))
        self.window: list[Outcome] = []
        self.started = time.monotonic()

    def fit(self) -> None:
        """Train to the last step. Raises GqvaeError if the loss is not finite."""
        settings = self.config.training
        for _ in _bar(self.state.step, settings.steps, self._describe):
            outcome = self._step()
            self._keep_score(outcome)
            self.state.step += 1
            self._tend_codebook()
            if self.state.step % settings.log_every == 0 or self.state.step == settings.steps:
                self._log()
            if self.state.step % settings.checkpoint_every == 0 or self.state.step == settings.steps:
                checkpoint.save(self.run.checkpoint, self.state)

    def _step(self) -> Outcome:
        state, config = self.state, self.config
        for group in self.optimizer.param_groups:
            group["lr"] = group["full_rate"] * learning_rate_at(config, state.step)
        batch = self.batches.draw(state.generator).to(self.fabric.device)
        quantized = state.step >= config.quantizer.warmup_steps
        outcome: Outcome = self.stepper(batch, weight_at(config, state.step), quantized, state.pins)
        if not torch.isfinite(outcome.loss):
            raise GqvaeError(
                f"the loss is {outcome.loss.item()} at step {state.step}; the last checkpoint is unharmed: "
                "train again with a smaller training.learning_rate"
            )
        self.optimizer.zero_grad()
        self.fabric.backward(outcome.loss)
        self.fabric.clip_gradients(self.stepper, self.optimizer, max_norm=config.training.clip)
        self.optimizer.step()
        return replace(outcome, loss=outcome.loss.detach())

    def _keep_score(self, outcome: Outcome) -> None:
        """What later steps need of this one: assignments, and latents for the reservoir."""
        quantizer = self.config.quantizer
        warming = outcome.assigned is None
        if warming:
            # before there are codes, no latent is far from one: keep a random handful
            errors = torch.rand(len(outcome.latents), generator=self.state.generator)
            self.reservoir.offer(outcome.latents, errors.to(outcome.latents.device))
        else:
            latents, codes, weights = outcome.assigned  # type: ignore[misc]
            self.model.quantizer.assign(latents, codes, weights)
            self.state.usage.index_add_(0, codes, weights)
            if quantizer.revival == "reservoir":
                self.reservoir.offer(outcome.latents, outcome.errors)
        self.window.append(replace(outcome, latents=outcome.latents[:0], errors=outcome.errors[:0], assigned=None))

    def _tend_codebook(self) -> None:
        """Start the codes when warm-up ends; afterwards, every so often, move those that idle."""
        state, quantizer = self.state, self.config.quantizer
        since = state.step - quantizer.warmup_steps
        if since == 0:
            self._set_codes(torch.arange(self.model.quantizer.size))
            if quantizer.revival == "needs":
                self.reservoir.empty()
        elif since > 0 and since % quantizer.revive_every == 0:
            if state.step >= quantizer.revive_until * self.config.training.steps:
                state.pins = None
            elif quantizer.revival == "needs":
                sample = Sample.of(self.run.pretokens, self.config.training.sample_pretokens, state.generator)
                state.pins = exchange(self._segmenter(), sample, quantizer.revive_share, state.generator)
            else:
                self._set_codes(torch.nonzero(state.usage < DEAD)[:, 0])
            state.usage.zero_()

    def _set_codes(self, rows: Tensor) -> None:
        """Set the codes `rows` from the reservoir, as far as it reaches (the paper's code crashes beyond)."""
        latents = self.reservoir.draw(len(rows), self.state.generator)
        self.model.quantizer.replace(rows[: len(latents)].to(latents.device), latents)

    def _segmenter(self) -> Segmenter:
        """The model as it stands, at the reconstruction weight it will be judged by or the present one, if that is
        already past half: early on, the final weight would call everything inexact."""
        weight = max(weight_at(self.config, self.state.step), self.config.objective.reconstruction[1] / 2)
        return Segmenter(
            self.model, mode="viterbi", price=self.config.objective.price, weight=weight,
            candidates=self.config.quantizer.candidates,
        )  # fmt: skip

    def _log(self) -> None:
        row = self._row()
        with self.run.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        if warning := collapse(row):
            say(f"warning: step {row['step']}: {warning}")
        self.latest = row
        self.window = []

    def _row(self) -> dict[str, Any]:
        segmenter = self._segmenter()
        segmented = segmenter.segment(self.measured.pieces)
        measures = Measures.of(self.measured.pieces, self.measured.weights, segmented, segmenter.strings)
        pretokens = sum(len(outcome.gates) for outcome in self.window)
        gates = torch.cat([outcome.gates.flatten() for outcome in self.window])
        inner = torch.cat([outcome.gates[:, :-1].flatten() for outcome in self.window])
        hard = sum(open_lengths((o.gates > 0.5).float(), self.model.longest)[1].sum().item() for o in self.window)
        soft = sum(o.soft_tokens.item() * len(o.gates) for o in self.window)
        return {
            "step": self.state.step,
            "seconds": round(time.monotonic() - self.started, 1),
            "loss": _mean([o.loss for o in self.window]),
            "nats_per_byte": _mean([o.nats_per_byte for o in self.window]),
            "tokens_per_pretoken_soft": soft / pretokens,
            "tokens_per_pretoken_hard": hard / pretokens,
            "bytes_per_token": measures.bytes_per_token,
            "exact_codes": measures.exact_codes,
            "codes_used": measures.codes_used,
            "perplexity": measures.perplexity,
            "gate_histogram": torch.histc(gates.float().cpu(), 10, 0, 1).long().tolist(),
            "inner_gate_rate": (inner > 0.5).float().mean().item() if len(inner) else 0.0,
            "price": self.config.objective.price,
            "reconstruction_weight": weight_at(self.config, self.state.step - 1),
            "learning_rate": self.config.training.learning_rate * learning_rate_at(self.config, self.state.step - 1),
        }

    latest: dict[str, Any] | None = None

    def _describe(self) -> str:
        if self.latest is None:
            return "training"
        return "training: {bytes_per_token:.2f} bytes/token, {exact_codes:.1%} exact".format(**self.latest)


def make_optimizer(model: GQVAE, config: Config) -> torch.optim.Optimizer:
    """AdamW; the codes may have a learning rate of their own."""
    settings = config.training
    codes = [p for name, p in model.named_parameters() if name == "quantizer.codes"]
    others = [p for name, p in model.named_parameters() if name != "quantizer.codes"]
    rate = settings.learning_rate
    groups = [{"params": others, "full_rate": rate}]
    if codes:
        groups.append({"params": codes, "full_rate": rate * settings.codebook_learning_rate, "weight_decay": 0.0})
    return torch.optim.AdamW(
        groups, lr=rate, betas=(0.9, 0.98), weight_decay=settings.weight_decay, amsgrad=settings.amsgrad
    )


def collapse(row: dict[str, Any]) -> str | None:
    """The early warning: what is wrong with the gates in a row of the metrics, if anything."""
    if row["inner_gate_rate"] > 0.95:
        return "the gates have collapsed: nearly every byte ends a token; raise the price (or alpha)"
    if row["inner_gate_rate"] < 0.005 and row["exact_codes"] < 0.5:
        return "the gates have collapsed: tokens end only where forced, and codes do not say what they stand for"
    return None


def _mean(values: list[Tensor]) -> float:
    return torch.stack([value.float() for value in values]).mean().item()


def _forget_rows_after(path: Path, step: int) -> None:
    """Drop metrics of steps that will be taken again, and a last line that a kill cut short."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            row = json.loads(line)
        except ValueError:
            break
        if row["step"] <= step:
            kept.append(line)
    with replacing(path) as temporary:
        temporary.write_text("".join(kept), encoding="utf-8")


def _bar(start: int, steps: int, describe: Any) -> Iterator[int]:
    """Steps to take, with a progress bar on stderr."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=2) as bar:
        task = bar.add_task("training", total=steps, completed=start)
        for step in range(start, steps):
            yield step
            bar.update(task, advance=1, description=describe())
