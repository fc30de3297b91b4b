"""Lookup-free quantization (MAGVIT-v2, arXiv 2310.05737), grouped (WeTok, arXiv 2508.05599)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from vector_quantize_pytorch import LFQ

from gqvae.config import QuantizerConfig
from gqvae.learn.linear import Linear
from gqvae.learn.quantizers.euclidean import EuclideanQuantizer
from gqvae.learn.quantizers.grid import combinations
from gqvae.settings import not_negative, positive


@dataclass(frozen=True)
class LookupFreeOptions:
    groups: int = 1
    """Groups of bits, each with an entropy term of its own: the term is then over 2^(bits / groups) codes a group, not
    2^bits (WeTok)."""
    entropy: float = 0.1
    """Weight of the entropy term: each latent sure of its code, all codes in use."""
    temperature: float = 1.0
    """Temperature of the softmax in the entropy term."""

    def __post_init__(self) -> None:
        positive(self, "groups", "temperature")
        not_negative(self, "entropy")


class LookupFreeQuantizer(EuclideanQuantizer):
    """The signs of a few dimensions, kept in balance by an entropy term (LFQ; with groups, WeTok).

    The table is all 2^bits combinations of signs. Terms by `vector_quantize_pytorch.LFQ`.
    """

    Options = LookupFreeOptions
    movable = False
    codes: Tensor

    def __init__(self, size: int, width: int, config: QuantizerConfig, options: LookupFreeOptions) -> None:
        bits = max(1, math.ceil(math.log2(size)))
        bits += -bits % options.groups
        super().__init__(2**bits, width, config, options)
        self.options = options
        self.project_in, self.project_out = Linear(width, bits), Linear(bits, width)
        self.register_buffer("codes", combinations([torch.tensor([[-1.0], [1.0]])] * bits), persistent=False)
        self.terms = LFQ(
            codebook_size=2 ** (bits // options.groups), num_codebooks=options.groups, dim=bits,
            entropy_loss_weight=options.entropy, commitment_loss_weight=0.0,
        )  # fmt: skip

    def project(self, latents: Tensor) -> Tensor:
        bits: Tensor = self.project_in(latents)
        return bits

    def expand(self, codes: Tensor) -> Tensor:
        expanded: Tensor = self.project_out(codes)
        return expanded

    def continuous(self, latents: Tensor) -> Tensor:
        # as near the signs as will be
        return self.expand(torch.tanh(self.project(latents)))

    def loss(self, projected: Tensor, nearest: Tensor) -> Tensor:
        return self.commitment * F.mse_loss(projected, nearest, reduction="none").mean(-1)

    def penalty(self, latents: Tensor) -> Tensor:
        projected = self.project(latents).flatten(0, -2)
        if not len(projected) or not self.exploring:
            return latents.new_zeros(())
        term: Tensor = self.terms(projected[None], inv_temperature=1 / self.options.temperature)[2]
        return term
