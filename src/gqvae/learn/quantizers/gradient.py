"""The paper's quantizer: nearest code by Euclidean distance in the full width, codes moved by gradient."""

import torch
from torch import Tensor, nn

from gqvae.learn.quantizers.base import Quantizer


class GradientQuantizer(Quantizer):
    """VQ-VAE (arXiv 1711.00937, equation 3): ||sg z - e||^2 + beta ||z - sg e||^2.

    The authors' code swaps the two names, so that its beta scales the side that moves the codes; this is the standard
    form. Its warm-up and reservoir are the trainer's (`reservoir`).
    """

    def __init__(self, size: int, width: int, commitment: float) -> None:
        super().__init__()
        self.size, self.commitment = size, commitment
        self.codes = nn.Parameter(torch.randn(size, width))
        self.log_scale = nn.Parameter(torch.zeros(()))

    def project(self, latents: Tensor) -> Tensor:
        return latents

    def expand(self, codes: Tensor) -> Tensor:
        return codes

    def keys(self) -> tuple[Tensor, Tensor]:
        # -||z - e||^2 / 2 up to a term that all codes share: one matrix product, no (N, V, D) tensor
        codes = self.codes * self.log_scale.exp()
        return codes, -(self.codes * codes).sum(1) / 2

    def loss(self, projected: Tensor, nearest: Tensor) -> Tensor:
        codebook = (projected.detach() - nearest).square().mean(-1)
        commitment = (projected - nearest.detach()).square().mean(-1)
        return codebook + self.commitment * commitment
