"""FVQ's VQBridge (Chang et al., arXiv 2509.10140; yfChang-cv/FVQ, qbridge_ViT.py): codes that attend to each other."""

from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gqvae.config import QuantizerConfig
from gqvae.errors import GqvaeError
from gqvae.learn.linear import Linear
from gqvae.learn.quantizers.cosine import CosineQuantizer
from gqvae.settings import not_negative, positive


@dataclass(frozen=True)
class BridgeOptions:
    patch: int = 16
    """Consecutive codes that are compressed to one token."""
    width: int = 256
    """Width of such a token."""
    heads: int = 4
    depth: int = 2
    """Blocks of attention."""

    def __post_init__(self) -> None:
        positive(self, "patch", "width", "heads")
        not_negative(self, "depth")
        if self.width % self.heads:
            raise GqvaeError(f"width ({self.width}) must be a multiple of heads ({self.heads})")


class BridgeQuantizer(CosineQuantizer):
    """Codes made by a small transformer from a table of codes, so that a step moves all of them (FVQ's VQBridge).

    Compress (a patch of codes to a token), process (attention over all tokens, no positions), recover (a token to a
    patch). Patches are one-dimensional, where FVQ's are squares of an image of codes, so that any number of codes will
    do; the last layer does not start at zero as in FVQ, since equal codes have no direction. In a measurement, and
    after training, the outcome is a plain table that is made once.
    """

    Options = BridgeOptions
    movable = False

    def __init__(self, size: int, width: int, config: QuantizerConfig, options: BridgeOptions) -> None:
        self.patch = options.patch
        super().__init__(size, width, config, options)
        self.compress = Linear(options.patch * config.code_width, options.width)
        self.process = nn.ModuleList(
            nn.TransformerEncoderLayer(
                options.width, options.heads, 2 * options.width, dropout=0.0, activation="gelu", batch_first=True,
                norm_first=True,
            )
            for _ in range(options.depth)
        )  # fmt: skip
        self.recover = nn.Sequential(
            nn.LayerNorm(options.width), Linear(options.width, options.patch * config.code_width)
        )
        self._baked: tuple[tuple[object, ...], Tensor] | None = None

    def _hold_codes(self, codes: Tensor) -> None:
        self.codes = nn.Parameter(F.pad(codes, (0, 0, 0, -len(codes) % self.patch)))

    def points(self) -> Tensor:
        if torch.is_grad_enabled():
            return self._bridge()
        # every change of a tensor in place raises its version
        now = tuple((each.data_ptr(), each._version) for each in chain(self.parameters(), self.buffers()))
        if self._baked is None or self._baked[0] != now:
            self._baked = now, self._bridge()
        return self._baked[1]

    def _bridge(self) -> Tensor:
        tokens = self.compress(self.codes.view(-1, self.patch * self.codes.shape[1]))[None]
        for block in self.process:
            tokens = block(tokens)
        points: Tensor = self.recover(tokens).view(self.codes.shape)
        return points[: self.size]
