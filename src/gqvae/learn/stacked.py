"""The base of a stacked run: the tokenizer whose tokens it reads.

It is either given (`pretokens.base` names it) or, with `words:N`, a GQ-VAE of N ids inside words that is trained first,
on the same text, in the folder `words/` of the run.
"""

from collections.abc import Callable
from dataclasses import replace

from gqvae.config import Config
from gqvae.learn.distill import distill
from gqvae.learn.run import Run
from gqvae.learn.team import Team


def prepare_base(run: Run, team: Team, fit: Callable[[Run, Team], None]) -> None:
    """Have the base of `run` in place, if it has one; `fit` trains a run, or goes on with it."""
    size = run.config.pretokens.words
    if size is None or (run.base / "gqvae.json").exists():
        return
    team.say(f"first the base: {size:,} ids inside words")
    folder = run.folder / "words"
    with team.fabric.rank_zero_first():
        words = Run.open(folder) if (folder / "config.json").exists() else run.derive(folder, _words(run.config, size))
    with team.holding(folder):
        fit(words, team)
    with team.fabric.rank_zero_first():
        if team.first:
            distill(folder, run.base, name=f"words-{size}")
    team.say("then the tokens across words")


def _words(config: Config, size: int) -> Config:
    """The defaults inside words, on the same machine and seed."""
    there, here = config.training, Config().training
    training = replace(here, threads=there.threads, precision=there.precision, accelerator=there.accelerator)
    return replace(Config(), vocab_size=size, seed=config.seed, training=training)
