"""A sample of latents from which dead codes are set again (the paper's cure for codebook collapse)."""

import torch
from torch import Tensor, nn


class Reservoir(nn.Module):
    """The last `size` latents worth keeping: each step offers its `per_step` farthest from their codes.

    A module, so that its contents travel with the checkpoint.
    """

    latents: Tensor
    position: Tensor

    def __init__(self, size: int, per_step: int, width: int) -> None:
        super().__init__()
        self.size, self.per_step = size, per_step
        self.register_buffer("latents", torch.zeros(0, width))
        self.register_buffer("position", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def offer(self, latents: Tensor, errors: Tensor) -> None:
        """Keep the latents (N, D) of the largest errors (N,), over the oldest kept."""
        farthest = latents[errors.topk(min(self.per_step, self.size, len(errors))).indices]
        room = max(0, min(len(farthest), self.size - len(self.latents)))
        self.latents = torch.cat([self.latents, farthest[:room]])
        if rest := len(farthest) - room:
            rows = (self.position + torch.arange(rest, device=latents.device)) % self.size
            self.latents[rows] = farthest[room:]
            self.position = (self.position + rest) % self.size

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """(at most `count`, D) different latents, at random."""
        order = torch.randperm(len(self.latents), generator=generator)[:count]
        return self.latents[order.to(self.latents.device)]

    def empty(self) -> None:
        self.latents = self.latents[:0]
        self.position.zero_()
