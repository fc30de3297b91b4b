"""Kills a training and a distillation again and again. Run as a program, so that forks come from one quiet thread.

`python killing.py FOLDER TEXT` does so at random moments, `python killing.py FOLDER TEXT files` at every file that is
written; what is left in the end is in FOLDER/run and FOLDER/tokenizer. Prints the number of kills.
"""

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from learning import TINY, vary

from gqvae.corpus import Corpus
from gqvae.learn.distill import distill
from gqvae.learn.training import resume, train

KILLS = 24
CONFIG = vary(
    replace(TINY, vocab_size=264),
    model={
        "width": 16,
        "heads": 2,
        "gater_channels": 4,
        "decoder_width": 16,
        "character_width": 8,
        "longest_token": 4,
    },
    training={"steps": 12, "checkpoint_every": 2, "log_every": 3, "sample_pretokens": 30, "batch_symbols": 64},
    quantizer={
        "code_width": 4,
        "warmup_steps": 3,
        "revive_every": 3,
        "reservoir_size": 50,
        "reservoir_per_step": 10,
    },
)


def work(folder: Path, text: Corpus) -> None:
    """Train, or go on; then distill."""
    if (folder / "run" / "config.json").exists():
        resume(folder / "run", CONFIG, text)
    else:
        train(CONFIG, text, folder / "run")
    distill(folder / "run", folder / "tokenizer")


def at_random_moments(folder: Path, text: Corpus) -> int:
    """Each process has a little time, drawn anew; one that comes to its end begins again in the next."""
    work(folder.with_name("warm"), text)
    begin, generator, kills = time.monotonic(), random.Random(0), 0
    work(folder.with_name("measured"), text)
    seconds = time.monotonic() - begin
    while kills < KILLS:
        process = start(lambda: work(folder, text))
        time.sleep(generator.uniform(0, 0.5 * seconds))
        kills += ended(process, signal.SIGKILL) == -signal.SIGKILL
    assert ended(start(lambda: work(folder, text))) == 0
    return kills


# The n-th process dies as it puts its k-th file in its place. Those before training come first, then every checkpoint,
# not in its place yet and just there, then those of the distillation.
FILES = [1, 2, 3, 4, 5, *[2, 3] * (CONFIG.training.steps // CONFIG.training.checkpoint_every), 2, 3, 4]


def at_every_file(folder: Path, text: Corpus) -> int:
    """Each process goes on from where the one before it died."""
    work(folder.with_name("warm"), text)
    kills = sum(ended(start(lambda at=at: until_file(at, folder, text))) == -signal.SIGKILL for at in FILES)
    assert ended(start(lambda: work(folder, text))) == 0
    return kills


def until_file(at: int, folder: Path, text: Corpus) -> None:
    count, replace = 0, os.replace

    def dying(old: Path, new: Path) -> None:
        nonlocal count
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(old, new)

    os.replace = dying  # type: ignore[assignment]
    work(folder, text)


def start(task: Callable[[], None]) -> int:
    """A process that does the task, and then nothing more of what this one has to do."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        task()
        status = 0
    finally:
        os._exit(status)


def ended(process: int, number: int = 0) -> int:
    """The exit status of a process, negative for a signal; sends it a signal first."""
    if number:
        os.kill(process, number)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


if __name__ == "__main__":
    way = at_every_file if sys.argv[3:] == ["files"] else at_random_moments
    print(way(Path(sys.argv[1]), Corpus((sys.argv[2],))))
