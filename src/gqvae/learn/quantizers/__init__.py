"""Codebooks, one a file, behind one interface.

base.py          the interface
registry.py      quantizers by name, those of other packages too
cosine.py        normalised codes compared by cosine; the default
gradient.py      the paper's; DiVeQ and the rotation trick are options
ema.py           codes that follow moving averages
simvq.py         frozen codes under a learned linear map
bridge.py        codes that attend to each other
whitening.py     principal components
fsq.py           a fixed grid
lookup_free.py   signs, in groups
residual.py      several codes, one after the other
product.py       several codes, side by side
shared_index.py  two codebooks under one index
soft_topk.py     soft codes at first
gumbel.py        sampled codes
reservoir.py     latents for dead codes
kmeans.py        where codes begin
euclidean.py     what quantizers by Euclidean distance share
grid.py          combinations of the codes of several parts
"""

from gqvae.learn.quantizers.base import Candidates, Quantized, Quantizer
from gqvae.learn.quantizers.registry import make_quantizer

__all__ = ["Candidates", "Quantized", "Quantizer", "make_quantizer"]
