"""SimVQ (Zhu et al., arXiv 2411.02038): frozen codes under one learned linear map."""

import torch
from torch import Tensor

from gqvae.config import QuantizerConfig
from gqvae.learn.linear import Linear
from gqvae.learn.quantizers.base import NoOptions
from gqvae.learn.quantizers.cosine import CosineQuantizer


class SimVQ(CosineQuantizer):
    """Frozen random codes under a learned linear map, so that a step moves all of them (SimVQ).

    codes = C W with C ~ N(0, 1/d) and W (d, d) learned, here compared by cosine. Moving a code (not in the
    paper) solves c W = latent.
    """

    def __init__(self, size: int, width: int, config: QuantizerConfig, options: NoOptions) -> None:
        super().__init__(size, width, config, options)
        self.map = Linear(config.code_width, config.code_width, bias=False)

    def _hold_codes(self, codes: Tensor) -> None:
        self.register_buffer("codes", torch.randn_like(codes) * codes.shape[1] ** -0.5)

    def points(self) -> Tensor:
        mapped: Tensor = self.map(self.codes)
        return mapped

    @torch.no_grad()
    def replace(self, rows: Tensor, latents: Tensor) -> None:
        # by default a CPU's driver gives other digits each time
        solved = torch.linalg.lstsq(self.map.weight, self.project(latents).T, driver="gels").solution
        self.codes[rows] = solved.T
