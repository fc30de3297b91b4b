"""Every quantizer, small and seeded, and latents for it."""

from typing import Any

import pytest
import torch
from torch import Tensor

from gqvae.config import QuantizerConfig
from gqvae.learn.quantizers import Quantizer, make_quantizer, registry

V, D = 30, 16
SMALL: dict[str, dict[str, str]] = {"bridge": {"patch": "4", "width": "16", "heads": "2"}}
VARIANTS: dict[str, tuple[str, dict[str, str]]] = {
    **{name: (name, SMALL.get(name, {})) for name in registry.OURS},
    "wetok": ("lookup_free", {"groups": "2"}),
    "residual-3": ("residual", {"depth": "3", "dropout": "0.5"}),
    "product-3": ("product", {"groups": "3"}),
}
PATHS = {path: ("gradient", {"path": path}) for path in ("straight", "rotation", "diveq")}
every = pytest.mark.parametrize("variant", VARIANTS)


def make(variant: str, size: int = V, seed: int = 0, **settings: Any) -> Quantizer:
    torch.manual_seed(seed)
    name, options = (VARIANTS | PATHS)[variant]
    return make_quantizer(QuantizerConfig(name=name, options=options, code_width=6, **settings), size, D)


def latents(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, D, generator=torch.Generator().manual_seed(seed))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
