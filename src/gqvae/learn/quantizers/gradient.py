"""The paper's quantizer: nearest code by Euclidean distance in the full width, codes moved by gradient."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gqvae.config import Config, QuantizerConfig
from gqvae.errors import GqvaeError
from gqvae.learn.quantizers.base import Quantized
from gqvae.learn.quantizers.euclidean import EuclideanQuantizer
from gqvae.settings import not_negative, one_of


@dataclass(frozen=True)
class GradientOptions:
    legacy: bool = False
    """The authors' weighting, which has the two sides swapped: the commitment scales what moves the codes."""
    path: Literal["straight", "rotation", "diveq"] = "straight"
    """How the gradient gets from the code to the latent: unchanged; turned and stretched with the latent (rotation
    trick, arXiv 2410.06424); or through the distance between them (DiVeQ, arXiv 2509.26469), which moves codes and
    latents without further terms."""
    variance: float = 0.005
    """diveq: of the noise on the direction to the code."""

    def __post_init__(self) -> None:
        one_of(self, "path", ("straight", "rotation", "diveq"))
        not_negative(self, "variance")


class GradientQuantizer(EuclideanQuantizer):
    """Codes of the model's width by Euclidean distance, moved by gradient: the paper's.

    VQ-VAE (arXiv 1711.00937, equation 3): ||sg z - e||^2 + beta ||z - sg e||^2. With `revival=reservoir` it is the
    paper's, whose warm-up and reservoir are the trainer's.
    """

    Options = GradientOptions
    of_gates = ("legacy", "path", "variance")

    def __init__(self, size: int, width: int, config: QuantizerConfig, options: GradientOptions) -> None:
        super().__init__(size, width, config, options)
        self.codes = nn.Parameter(torch.randn(size, width))
        self.options = options

    @classmethod
    def check(cls, config: Config, options: GradientOptions) -> None:
        super().check(config, options)
        if options.path == "diveq" and options.legacy:
            raise GqvaeError("quantizer.options.legacy is of no effect with path=diveq, which has no terms to weigh")
        if options.path != "diveq" and options.variance != GradientOptions().variance:
            raise GqvaeError("quantizer.options.variance is of no effect without path=diveq")

    @classmethod
    def ignores(cls, options: GradientOptions) -> tuple[str, ...]:
        return super().ignores(options) + (("commitment",) if options.path == "diveq" else ())

    def project(self, latents: Tensor) -> Tensor:
        return latents

    def expand(self, codes: Tensor) -> Tensor:
        return codes

    def loss(self, projected: Tensor, nearest: Tensor) -> Tensor:
        if self.options.path == "diveq":
            return projected.new_zeros(projected.shape[:-1])
        if not self.options.legacy:
            return super().loss(projected, nearest)
        codebook = (projected.detach() - nearest).square().mean(-1)
        return (projected - nearest.detach()).square().mean(-1) + self.commitment * codebook

    def forward(self, latents: Tensor) -> Quantized:
        found = super().forward(latents)
        apart = (latents - self.codes[found.indices]).detach().square().mean(-1)
        return Quantized(found.vectors, found.indices, found.loss, apart)

    def connect(self, projected: Tensor, nearest: Tensor) -> Tensor:
        if self.options.path == "rotation":
            from vector_quantize_pytorch.vector_quantize_pytorch import rotate_to

            rotated: Tensor = rotate_to(projected, nearest.detach())
            return rotated
        if self.options.path == "diveq":
            return self._toward(projected, nearest)
        return super().connect(projected, nearest)

    def _toward(self, latents: Tensor, nearest: Tensor) -> Tensor:
        """A step of the code's distance in nearly its direction: z + ||e - z|| sg(v / ||v||), v = e - z + noise."""
        apart = nearest - latents
        noise = torch.zeros(apart.shape)
        if self.exploring:
            noise = torch.randn(apart.shape, generator=self.noise) * self.options.variance**0.5
        direction = F.normalize((apart + noise.to(apart)).detach(), dim=-1)
        reached: Tensor = latents + torch.linalg.vector_norm(apart, dim=-1, keepdim=True) * direction
        return reached
