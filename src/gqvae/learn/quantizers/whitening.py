"""Codes of whitened principal components (after DINO-Tok, arXiv 2511.20565)."""

import torch
from torch import Tensor, nn

from gqvae.config import QuantizerConfig
from gqvae.learn.quantizers.base import NoOptions
from gqvae.learn.quantizers.euclidean import EuclideanQuantizer

FLOOR = 1e-4
"""Least variance of a component, relative to the largest: what is smaller would be noise made large."""


class WhiteningQuantizer(EuclideanQuantizer):
    """Codes of the latents' leading principal components, all scaled alike (PCA whitening, DINO-Tok).

    DINO-Tok quantizes the dominant components of frozen features and weighs them. Here all that are kept weigh alike:
    no direction outweighs the others because latents happen to vary more along it. The components are those of
    warm-up's latents, which pass as they are; from then on the encoder trains through them. What the decoder reads is
    the code turned back.
    """

    mean: Tensor
    components: Tensor
    deviations: Tensor

    def __init__(self, size: int, width: int, config: QuantizerConfig, options: NoOptions) -> None:
        super().__init__(size, width, config, options)
        d = min(config.code_width, width)
        self.codes = nn.Parameter(torch.randn(size, d))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("components", torch.linalg.qr(torch.randn(width, d)).Q)
        self.register_buffer("deviations", torch.ones(d))

    def project(self, latents: Tensor) -> Tensor:
        return (latents - self.mean) @ self.components / self.deviations

    def expand(self, codes: Tensor) -> Tensor:
        return codes * self.deviations @ self.components.T + self.mean

    def continuous(self, latents: Tensor) -> Tensor:
        return latents

    @torch.no_grad()
    def start(self, latents: Tensor, generator: torch.Generator) -> None:
        if len(latents) > 1:
            self.mean.copy_(latents.mean(0))
            variances, components = torch.linalg.eigh(torch.cov(latents.T))
            leading = variances.flip(0)[: len(self.deviations)]
            self.components.copy_(components.flip(1)[:, : len(self.deviations)])
            self.deviations.copy_(leading.clamp(min=FLOOR * leading[0].item() + 1e-8).sqrt())
        super().start(latents, generator)
