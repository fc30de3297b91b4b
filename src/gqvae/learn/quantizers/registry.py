"""Quantizers by name: those of this package, and those that other packages register.

A package registers one by an entry point of the group `gqvae.quantizers`, whose name is the quantizer's:

    [project.entry-points."gqvae.quantizers"]
    mine = "my_package.quantizer:MyQuantizer"
"""

import inspect
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, cast

import torch

from gqvae.config import Config, QuantizerConfig
from gqvae.errors import GqvaeError
from gqvae.learn.quantizers.base import Quantizer
from gqvae.settings import build

GROUP = "gqvae.quantizers"
OURS = {
    "cosine": "CosineQuantizer",
    "ema": "EMAQuantizer",
    "gradient": "GradientQuantizer",
    "simvq": "SimVQ",
    "bridge": "BridgeQuantizer",
    "fsq": "FiniteScalarQuantizer",
    "lookup_free": "LookupFreeQuantizer",
    "residual": "ResidualQuantizer",
    "product": "ProductQuantizer",
    "shared_index": "SharedIndexQuantizer",
    "soft_topk": "SoftTopKQuantizer",
    "whitening": "WhiteningQuantizer",
    "gumbel": "GumbelQuantizer",
}
"""Module in this folder, and class."""


def names() -> list[str]:
    """Ours, then those that other packages register."""
    return [*OURS, *sorted({point.name for point in entry_points(group=GROUP)} - OURS.keys())]


def quantizer_class(name: str) -> type[Quantizer]:
    """Raises GqvaeError that lists the names, or says why one cannot be had."""
    if name in OURS:
        return cast(type[Quantizer], getattr(import_module(f"gqvae.learn.quantizers.{name}"), OURS[name]))
    registered = entry_points(group=GROUP, name=name)
    if not registered:
        raise GqvaeError(f"unknown quantizer {name!r}; there are: {', '.join(names())}")
    point = next(iter(registered))
    try:
        found = point.load()
    except Exception as error:  # whatever it is: the package is not ours
        raise GqvaeError(f"quantizer {name!r}: {point.value} cannot be loaded: {error}") from error
    if not (inspect.isclass(found) and issubclass(found, Quantizer)):
        raise GqvaeError(f"quantizer {name!r}: {point.value} is not a subclass of gqvae.learn.quantizers.Quantizer")
    return found


def listing() -> str:
    """A line for each: its name and the first line of its docstring."""
    lines = []
    for name in names():
        try:
            about = (inspect.getdoc(quantizer_class(name)) or "").partition("\n")[0]
        except GqvaeError as error:
            about = str(error)
        lines.append(f"{name:<14} {about}")
    return "\n".join(lines)


def options_of(config: QuantizerConfig) -> Any:
    """Its own settings, as its dataclass. Raises GqvaeError that lists those there are."""
    return build(quantizer_class(config.name).Options, config.options, "quantizer.options.")


def check(config: Config) -> None:
    """Raise GqvaeError for a quantizer that does not exist, has no such options, or does not go with the rest."""
    quantizer_class(config.quantizer.name).check(config, options_of(config.quantizer))
    with torch.device("meta"):  # what sizes it refuses, without the memory they take
        make_quantizer(config.quantizer, config.codes(used_bytes=1), config.model.width)


def make_quantizer(config: QuantizerConfig, size: int, width: int) -> Quantizer:
    """The codebook that `config` describes, with `size` codes (or a few more) for latents of `width`."""
    return quantizer_class(config.name)(size, width, config, options_of(config))
