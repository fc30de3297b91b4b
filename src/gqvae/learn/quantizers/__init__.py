"""Codebooks, one a file, behind the interface in `base`."""

from gqvae.config import QuantizerConfig
from gqvae.learn.quantizers.base import Candidates, Quantized, Quantizer
from gqvae.learn.quantizers.cosine import CosineQuantizer
from gqvae.learn.quantizers.ema import EMAQuantizer
from gqvae.learn.quantizers.gradient import GradientQuantizer

__all__ = ["Candidates", "Quantized", "Quantizer", "make_quantizer"]


def make_quantizer(config: QuantizerConfig, size: int, width: int) -> Quantizer:
    """The codebook that `config.name` names, with `size` codes for latents of `width`."""
    if config.name == "gradient":
        return GradientQuantizer(size, width, config.commitment)
    if config.name == "ema":
        return EMAQuantizer(size, width, config.code_width, config.commitment, config.decay)
    return CosineQuantizer(size, width, config.code_width, config.commitment)
