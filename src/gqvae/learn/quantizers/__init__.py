"""Codebooks, one a file, behind the interface in `base`; by name: `registry`."""

from gqvae.learn.quantizers.base import Candidates, Quantized, Quantizer
from gqvae.learn.quantizers.registry import make_quantizer

__all__ = ["Candidates", "Quantized", "Quantizer", "make_quantizer"]
