"""Affine maps, on some processors twice as fast as torch's own.

torch leaves matrix products to MKL, which uses AVX-512 on Intel's processors only. oneDNN does on others, too, but
torch asks that for convolutions only: so there an affine map of rows is a convolution over single pixels.
"""

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gqvae import machine

_DILATION = (1, 2)  # means nothing to a filter of one pixel, but without it torch does not always ask oneDNN
_LITTLE = 20_480  # numbers in `x`, up to which it never does
_BITS = 4  # of a length that `to_few_lengths` leaves: at most an eighth is added


class Linear(nn.Linear):
    """(..., in) -> (..., out)."""

    def forward(self, x: Tensor) -> Tensor:
        return affine(x, self.weight, self.bias)


def affine(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x @ weight.T + bias: (..., in), (out, in), (out,) -> (..., out)."""
    if x.device.type != "cpu" or torch.compiler.is_compiling() or x.numel() <= _LITTLE or not _has_faster_onednn():
        return F.linear(x, weight, bias)  # torch.compile cannot take the convolution with shapes that vary
    pixels = x.reshape(1, -1, 1, x.shape[-1]).permute(0, 3, 1, 2)  # channels are last in memory, here and there
    found = F.conv2d(pixels, weight[:, :, None, None], bias, dilation=_DILATION)
    return found.permute(0, 2, 3, 1).reshape(*x.shape[:-1], len(weight))


def to_few_lengths(codes: Tensor) -> Tensor:
    """(n,) -> (m,): with zeros at the end, where otherwise every step would have another number of rows. oneDNN makes a
    kernel for each number that it meets, and keeps a thousand."""
    if codes.device.type != "cpu" or not _has_faster_onednn():
        return codes
    unit = 1 << max(0, len(codes).bit_length() - _BITS)
    return F.pad(codes, (0, -len(codes) % unit))


@cache
def _has_faster_onednn() -> bool:
    onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return (
        bool(onednn) and torch.backends.cpu.get_cpu_capability() == "AVX512" and machine.cpu_vendor() != "GenuineIntel"
    )
