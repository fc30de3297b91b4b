"""Training in several processes, one a GPU: `torchrun --nproc-per-node N -m gqvae train ...`.

Every process holds the model and draws the whole batch, with generators in the same state, and takes a step on its
part of the rows; DDP averages the gradients. What a step saw is then put together again, so that all of them see the
whole batch, and whatever follows (averages of codes, the reservoir, moves of codes, the price) each does itself, alike.
The first one alone writes files and speaks. So N processes give what one gives, up to rounding, where the loss is a
mean over the batch: a squared penalty on the rate of gates, and what quantizers ask of a batch besides or draw at
random, each process takes of its own part.
"""

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from torch import Tensor, distributed

from gqvae.config import TrainingConfig
from gqvae.errors import GqvaeError
from gqvae.files import locked
from gqvae.learn.objectives import Outcome
from gqvae.terminal import say

PATIENCE = timedelta(days=1)
"""That processes wait for one another: the first counts the corpus. If one fails, torchrun ends the others."""


@dataclass(frozen=True)
class Team:
    """The processes that train together; mostly there is one."""

    fabric: Fabric
    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls, config: TrainingConfig) -> "Team":
        """The processes that `torchrun` started, or this one alone."""
        if not distributed.is_torchelastic_launched():
            try:
                return cls(Fabric(accelerator=config.accelerator, devices=1, precision=config.precision))
            except RuntimeError as error:  # as for a GPU where there is none
                raise GqvaeError(f"training.accelerator={config.accelerator}: {error}") from error
        fabric = Fabric(
            accelerator=config.accelerator, precision=config.precision,
            devices=int(os.environ["LOCAL_WORLD_SIZE"]), num_nodes=int(os.environ["GROUP_WORLD_SIZE"]),
            # the warm-up has no use for codes
            strategy=DDPStrategy(find_unused_parameters=True, broadcast_buffers=False, timeout=PATIENCE),
        )  # fmt: skip
        fabric.launch()
        return cls(fabric, fabric.global_rank, fabric.world_size)

    @property
    def device(self) -> torch.device:
        device: torch.device = self.fabric.device
        return device

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def say(self, message: str) -> None:
        """Tell it once."""
        if self.first:
            say(message)

    def holding(self, folder: Path) -> AbstractContextManager[None]:
        """Hold `folder` for the team, by its first process. Raises GqvaeError while others are at work there."""
        return locked(folder) if self.first else nullcontext()

    def part(self, batch: Tensor) -> Tensor:
        """The rows (b, T) of a batch (B, T) that this process takes: the batch in order, cut into parts as equal as can
        be. Raises GqvaeError for fewer rows than processes."""
        if len(batch) < self.size:
            raise GqvaeError(
                f"a batch of {len(batch)} pretokens cannot be shared by {self.size} processes: raise "
                "training.batch_symbols or start fewer"
            )
        return batch.tensor_split(self.size)[self.rank]

    def weight(self, batch: Tensor) -> float:
        """By which to multiply the loss of this process' part: DDP takes the plain mean, parts may differ by a row."""
        return self.size * len(self.part(batch)) / len(batch)

    def whole(self, outcome: Outcome, batch: Tensor) -> Outcome:
        """From what each process saw in its part of a batch (B, T), what was seen in all of it."""
        if self.size == 1:
            return outcome
        share = self.weight(batch) / self.size
        means = torch.stack([outcome.loss.detach(), outcome.nats_per_byte, outcome.soft_tokens]).float() * share
        distributed.all_reduce(means)
        loss, nats_per_byte, soft_tokens = means.unbind()
        rows = [len(part) for part in batch.tensor_split(self.size)]
        symbols = [count * batch.shape[1] for count in rows]
        assigned = outcome.assigned
        return Outcome(
            loss=loss,
            nats_per_byte=nats_per_byte,
            soft_tokens=soft_tokens,
            gates=_gathered(outcome.gates, rows),
            latents=_gathered(outcome.latents, symbols),
            errors=_gathered(outcome.errors, symbols),
            assigned=assigned and (_gathered(assigned[0], symbols), _gathered(assigned[1], symbols)),
        )


def _gathered(tensor: Tensor, sizes: list[int]) -> Tensor:
    """The rows of all processes in order; process i has sizes[i]."""
    padded = tensor.new_zeros(max(sizes), *tensor.shape[1:])
    padded[: len(tensor)] = tensor
    parts = [torch.empty_like(padded) for _ in sizes]
    distributed.all_gather(parts, padded)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])
