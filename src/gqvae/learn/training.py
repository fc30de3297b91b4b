"""Training: sample pretokens, step, move the codes that idle, measure, keep checkpoints.

The loop is ours because codes move between steps; devices, precision, the backward pass and several processes (`team`)
are Lightning Fabric's.
"""

import math
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gqvae.config import Config
from gqvae.corpus import Corpus, unlike
from gqvae.errors import GqvaeError
from gqvae.learn import checkpoint, health, metrics, rate
from gqvae.learn.data import Batches, Sample
from gqvae.learn.model import GQVAE, AttentionBlock, Decoder
from gqvae.learn.objectives import Outcome, Phase, make_objective
from gqvae.learn.quantizers import registry
from gqvae.learn.quantizers.reservoir import Reservoir
from gqvae.learn.revival import exchange, read
from gqvae.learn.run import Run
from gqvae.learn.segmenter import NeuralSegmenter
from gqvae.learn.stacked import prepare_base
from gqvae.learn.team import Team
from gqvae.pretokens import Counting
from gqvae.terminal import say, steps

MEASURE_PRETOKENS = 2_048  # distinct held-out pretokens behind each row of the metrics
PINNED = 512  # codes whose decoder one step holds to their string
DEAD = 0.5  # summed assignments since the last round below which the reservoir replaces a code


def train(config: Config, corpus: Corpus, out: Path, *, counting: Counting | None = None) -> Run:
    """Count the corpus and train from the start into the folder `out`. Raises GqvaeError if it holds a run."""
    registry.check(config)
    team = Team.join(config.training)
    with team.holding(out):
        with team.fabric.rank_zero_first():
            run = Run.prepare(out, config, corpus, counting or Counting()) if team.first else Run.open(out)
        fit(run, team)
    return run


def resume(out: Path, config: Config | None = None, corpus: Corpus | None = None) -> Run:
    """Continue the run in `out` from its last checkpoint; it ends as if it had never stopped.

    Raises GqvaeError when `config` or `corpus` are given and are not what the run was started with.
    """
    run = Run.open(out)
    if corpus is not None and corpus != run.corpus:
        before = unlike(run.corpus.named(), corpus.named())
        raise GqvaeError(f"{out} was started on {before}; name the same text, to be read alike, or leave it out")
    if config is not None and config != run.config:
        raise GqvaeError(f"{out} was started with other settings ({run.config.difference(config)}); repeat those")
    team = Team.join(run.config.training)
    with team.holding(out):
        fit(run, team)
    return run


def fit(run: Run, team: Team) -> None:
    """Train a run to its last step, from its last checkpoint if it has one; its base, if it has one, comes first."""
    prepare_base(run, team, fit)
    trainer = Trainer(run, team)
    if run.checkpoint.exists():
        checkpoint.restore(run.checkpoint, trainer.state)
    if team.first:
        trainer.started -= metrics.forget_after(run.metrics, trainer.state.step)
    trainer.fit()


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
    """One run in memory, in one process of the `team`."""

    def __init__(self, run: Run, team: Team) -> None:
        self.run, self.team, self.config = run, team, run.config
        settings = self.config.training
        if settings.threads:
            torch.set_num_threads(settings.threads)
        # with several threads, the gradient of a look-up adds up in whatever order they come, unless told not to; on a
        # GPU some of it cannot be told
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.manual_seed(self.config.seed)
        generator = torch.Generator().manual_seed(self.config.seed)
        model = run.new_model()
        if settings.compile:
            # not the gater's convolutions, which are cut to the length of the pretokens and compiled for each anew
            for part in model.modules():
                if isinstance(part, AttentionBlock | Decoder):
                    part.compile(dynamic=True)
        optimizer = make_optimizer(model, self.config)
        self.objective = make_objective(model, self.config.objective, self.config.quantizer)
        self.stepper, self.optimizer = team.fabric.setup(self.objective, optimizer)
        device = team.device
        quantizer = self.config.quantizer
        reservoir = Reservoir(quantizer.reservoir_size, quantizer.reservoir_per_step, self.config.model.width)
        self.model: GQVAE = model
        self.state = checkpoint.State(
            step=0, model=model, reservoir=reservoir.to(device), optimizer=optimizer, generator=generator,
            usage=torch.zeros(model.quantizer.size, device=device), lexicon=None,
        )  # fmt: skip
        self.reservoir = reservoir
        self.batches = Batches(run.table, settings.count_exponent, settings.batch_symbols)
        # fixed, whatever the generator has been through: a resumed run measures on the same sample
        self.measured = Sample.of(run.measured, MEASURE_PRETOKENS, torch.Generator().manual_seed(self.config.seed))
        self.window: list[Outcome] = []
        self.latest: dict[str, Any] | None = None
        self.started = time.monotonic()

    def fit(self) -> None:
        """Train to the last step. Raises GqvaeError if the loss is not finite."""
        settings, first = self.config.training, self.team.first
        if settings.steps <= (warmup := self.config.quantizer.warmup_steps):
            self.team.say(
                f"warning: of {settings.steps} steps nothing is quantized in the first {warmup} "
                "(quantizer.warmup_steps): no code will be learned"
            )
        left = (self.state.step, settings.steps)
        for _ in steps(*left, self._describe) if first else range(*left):
            outcome = self._step()
            self._keep_score(outcome)
            self.state.step += 1
            self._tend_codebook()
            self._move_price()
            last = self.state.step == settings.steps
            keeping = last or self.state.step % settings.checkpoint_every == 0
            if first and (keeping or self.state.step % settings.log_every == 0):
                self._log()  # always before a checkpoint, so that none falls within a row of the metrics
            if first and keeping:
                checkpoint.save(self.run.checkpoint, self.state)
        self.team.fabric.barrier()  # the files are there when any of the processes goes on

    def _step(self) -> Outcome:
        state, config, team = self.state, self.config, self.team
        for group in self.optimizer.param_groups:
            group["lr"] = group["full_rate"] * learning_rate_at(config, state.step)
        self.model.quantizer.begin_step(state.step, config.seed)
        batch = self.batches.draw(state.generator).to(team.device)
        quantized = state.step >= config.quantizer.warmup_steps
        phase = Phase(quantized, weight_at(config, state.step), state.lexicon, self._pinned())
        seen: Outcome = self.stepper(team.part(batch), phase)
        outcome = team.whole(seen, batch)
        if not torch.isfinite(outcome.loss):
            raise GqvaeError(
                f"the loss is {outcome.loss.item()} at step {state.step}; the last checkpoint is unharmed: "
                "train again with a smaller training.learning_rate"
            )
        self.optimizer.zero_grad()
        team.fabric.backward(seen.loss * team.weight(batch))
        team.fabric.clip_gradients(self.stepper, self.optimizer, max_norm=config.training.clip)
        self.optimizer.step()
        return replace(outcome, loss=outcome.loss.detach())

    def _keep_score(self, outcome: Outcome) -> None:
        """What later steps need of this one: assignments, and latents for the reservoir."""
        if outcome.assigned is None:
            # before there are codes, no latent is far from one: keep a random handful
            errors = torch.rand(len(outcome.latents), generator=self.state.generator)
            self.reservoir.offer(outcome.latents, errors.to(outcome.latents.device))
        else:
            codes, weights = outcome.assigned
            self.model.quantizer.assign(outcome.latents, codes, weights)
            self.state.usage.index_add_(0, codes.flatten(), weights.flatten())
            if self.config.quantizer.revival == "reservoir":
                self.reservoir.offer(outcome.latents, outcome.errors)
        if self.team.first:  # it alone writes metrics
            empty = outcome.latents.new_empty(0)  # not a slice, which would keep the whole tensor alive
            self.window.append(replace(outcome, latents=empty, errors=empty, assigned=None))

    def _tend_codebook(self) -> None:
        """Start the codes when warm-up ends; then and every so often, move those that idle."""
        state, quantizer = self.state, self.config.quantizer
        since = state.step - quantizer.warmup_steps
        if since < 0 or since % quantizer.revive_every:
            return
        settled = state.step >= quantizer.revive_until * self.config.training.steps
        if state.places is not None:
            state.movement = health.movement(state.places, health.places(self.model.quantizer))
        if since == 0:
            self.model.quantizer.start(self.reservoir.latents, state.generator)
        if quantizer.revival == "none":
            self.reservoir.empty()
            state.lexicon = read(self.model)
        elif quantizer.revival == "needs":
            self.reservoir.empty()
            sample = Sample.of(self.run.table, self.config.training.sample_pretokens, state.generator)
            share, target = 0.0 if settled else quantizer.revive_share, self.config.objective.target_bytes_per_token
            usage = state.usage.tolist()
            state.lexicon = exchange(self.model, state.lexicon, sample, usage, share, state.generator, target)
        elif since > 0 and not settled:
            self._set_codes(torch.nonzero(state.usage < DEAD)[:, 0])
        if self.config.objective.name == "gates":
            state.lexicon = None  # nothing teaches the decoder to say what was assigned
        state.usage.zero_()
        state.places = health.places(self.model.quantizer)

    def _move_price(self) -> None:
        """With a target, twice a round of moves and at the end: towards the price at which the network meets it."""
        step, last = self.state.step, self.config.training.steps
        since = step - self.config.quantizer.warmup_steps
        every = max(1, self.config.quantizer.revive_every // 2)
        target = self.config.objective.target_bytes_per_token
        if target is None or since < 0 or (since % every and step < last):
            return
        curve = rate.Curve(self._segmenter(), self.measured)
        wanted = curve.price_for(target, rate.highest_price(self.config, step))
        if step < last:
            self.model.price.lerp_(torch.full_like(self.model.price, wanted), rate.SHARE)
            return
        self.model.price.fill_(wanted)
        strings = self.state.lexicon.strings() if self.state.lexicon else self._segmenter().strings
        possible = rate.fewest(self.measured, strings, self.model.longest)
        if warning := rate.miss(target, curve.at(wanted), possible):
            self.team.say(f"warning: the network gives {warning}")

    def _pinned(self) -> Tensor | None:
        """Codes whose decoder this step holds to their string: some of those that do not say it yet."""
        lexicon = self.state.lexicon
        if lexicon is None or not len(lexicon.unsaid):
            return None
        chosen = torch.randperm(len(lexicon.unsaid), generator=self.state.generator)[:PINNED]
        return lexicon.unsaid[chosen.to(lexicon.unsaid.device)]

    def _set_codes(self, rows: Tensor) -> None:
        """Set the codes `rows` from the reservoir, as far as it reaches (the paper's code crashes beyond)."""
        latents = self.reservoir.draw(len(rows), self.state.generator)
        self.model.quantizer.replace(rows[: len(latents)].to(latents.device), latents)

    def _segmenter(self) -> NeuralSegmenter:
        """The model as it stands, at the present weight of reconstruction but no less than half the final one: at the
        low weights of the start, inexact spans would pass for good ones."""
        weight = max(weight_at(self.config, self.state.step), self.config.objective.reconstruction[1] / 2)
        return self.run.segmenter(self.run.mode, self.model, weight=weight)

    def _log(self) -> None:
        settings, step = self.config.training, self.state.step
        self.latest = {
            "step": step,
            "seconds": round(time.monotonic() - self.started, 1),
            **metrics.of_steps(self.window, self.model.longest),
            **metrics.of_segmentation(self._segmenter(), self.measured),
            "near_duplicates": health.near_duplicates(health.places(self.model.quantizer)),
            "movement": self.state.movement,
            "quantizer": self.model.quantizer.statistics(),
            "price": round(self.model.price.item(), 6),
            "reconstruction_weight": weight_at(self.config, step - 1),
            "learning_rate": settings.learning_rate * learning_rate_at(self.config, step - 1),
        }
        metrics.append(self.run.metrics, self.latest)
        if not sys.stderr.isatty():
            say(f"step {step} of {settings.steps}: {self._describe()}")
        if step > self.config.quantizer.warmup_steps and (warning := metrics.collapse(self.latest)):
            say(f"warning: step {step}: {warning}")
        self.window = []

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
