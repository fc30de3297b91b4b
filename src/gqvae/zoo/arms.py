"""What is compared: quantizers, and ways to start and move their codes."""

from dataclasses import dataclass

DEFAULT = "cosine"
"""What the others are compared with."""


@dataclass(frozen=True)
class Arm:
    """Settings beside those that all share.

    costed: whether time and memory of a step are its own; it else shares them with another of the same quantizer.
    """

    label: str
    settings: tuple[str, ...]
    costed: bool = True


def _quantizer(name: str, label: str, *more: str, costed: bool = True) -> Arm:
    return Arm(label, (f"quantizer.name={name}", *more), costed)


def _paper(label: str, *more: str) -> Arm:
    settings = ("objective.name=gates", "quantizer.name=gradient", "quantizer.revival=reservoir", *more)
    return Arm(label, settings, costed=False)


ARMS = {
    "cosine": _quantizer("cosine", "cosine, low-dimensional (the default)"),
    "cosine-wide": _quantizer("cosine", "cosine, twice the dimensions", "quantizer.code_width=64", costed=False),
    "cosine-kmeans": _quantizer("cosine", "cosine, k-means start", "quantizer.start=kmeans", costed=False),
    "cosine-reservoir": _quantizer(
        "cosine", "cosine, codes move to the reservoir", "quantizer.revival=reservoir", costed=False
    ),
    "cosine-still": _quantizer("cosine", "cosine, codes not moved", "quantizer.revival=none", costed=False),
    "ema": _quantizer("ema", "cosine, moving averages"),
    "gradient": _quantizer("gradient", "Euclidean, full width"),
    "gradient-reservoir": _quantizer("gradient", "Euclidean, reservoir", "quantizer.revival=reservoir", costed=False),
    "whitening": _quantizer("whitening", "whitened components (DINO-Tok)"),
    "simvq": _quantizer("simvq", "SimVQ"),
    "simvq-still": _quantizer("simvq", "SimVQ, codes not moved (as published)", "quantizer.revival=none", costed=False),
    "bridge": _quantizer("bridge", "VQBridge (FVQ)"),
    "shared_index": _quantizer("shared_index", "shared index (TokenFlow)"),
    "soft_topk": _quantizer("soft_topk", "soft top-k warm-up (All in Tokens)"),
    "gumbel": _quantizer("gumbel", "Gumbel-softmax with KL"),
    "residual": _quantizer("residual", "residual, nested dropout"),
    "product": _quantizer("product", "product, decorrelated (FQGAN)"),
    "fsq": _quantizer("fsq", "FSQ"),
    "fsq-still": _quantizer("fsq", "FSQ, strings as they come (as published)", "quantizer.revival=none", costed=False),
    "lookup_free": _quantizer("lookup_free", "lookup-free (LFQ)"),
    "wetok": _quantizer("lookup_free", "grouped lookup-free (WeTok)", "quantizer.options.groups=2"),
    "paper": _paper("the paper: gates, Euclidean, reservoir"),
    "paper-legacy": _paper("the paper, its code's weighting", "quantizer.options.legacy=true"),
    "paper-rotation": _paper("the paper, rotation trick", "quantizer.options.path=rotation"),
    "paper-diveq": _paper("the paper, DiVeQ", "quantizer.options.path=diveq"),
}
"""By key. All but the paper's have the objective `marginal`."""
