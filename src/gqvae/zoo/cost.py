"""What a step of training costs with a quantizer of V codes: processor time, and memory at its peak."""

import resource
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

from gqvae.config import Config
from gqvae.learn.data import Batches
from gqvae.learn.model import GQVAE
from gqvae.learn.objectives import Phase, make_objective
from gqvae.learn.quantizers import make_quantizer
from gqvae.learn.training import make_optimizer


def cost(config: Config, default: Config, batches: Batches, steps: int) -> dict[str, Any]:
    """Median of `steps` steps after a first one, beside the default's, in turns: noise hits both alike.

    megabytes: how far the process grew, to be measured in one of its own; with the default's step on top of it only
    afterwards.
    """
    before = _peak()
    ours = _stepper(config, batches)
    ours()
    megabytes = (_peak() - before) / 1e6
    theirs = _stepper(default, batches)
    theirs()
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn in range(2 * steps):
        which = (turn + turn // 2) % 2  # either goes first as often
        seconds[which].append(_seconds((ours, theirs)[which]))
    mine, reference = map(median, seconds)
    return {"megabytes": megabytes, "seconds": mine, "ratio": mine / reference}


def _stepper(config: Config, batches: Batches) -> Callable[[], None]:
    """A step of the objective, quantized, codes pinned to nothing."""
    torch.manual_seed(config.seed)
    assert config.quantizer.codes is not None
    quantizer = make_quantizer(config.quantizer, config.quantizer.codes, config.model.width)
    model = GQVAE(config.model, quantizer, config.pretokens.window)
    objective = make_objective(model, config.objective, config.quantizer)
    optimizer = make_optimizer(model, config)
    phase = Phase(quantized=True, weight=1.0, lexicon=None, pinned=None)
    generator = torch.Generator().manual_seed(config.seed)

    def step() -> None:
        quantizer.begin_step(0, config.seed)
        outcome = objective(batches.draw(generator), phase)
        optimizer.zero_grad()
        outcome.loss.backward()
        optimizer.step()
        if outcome.assigned is not None:
            quantizer.assign(outcome.latents, *outcome.assigned)

    return step


def _seconds(step: Callable[[], None]) -> float:
    start = time.process_time()
    step()
    return time.process_time() - start


def _peak() -> float:
    """Bytes of memory this process has had at most."""
    found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(found if sys.platform == "darwin" else 1_024 * found)
