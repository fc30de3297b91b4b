"""From finished cells to results.json: what every figure and table of the report is made from."""

import math
import os
import platform
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from gqvae.reproduce.plan import MATCHED, PEERS, Results, best_fixed, plan_contenders, with_failures
from gqvae.reproduce.schedule import Failures
from gqvae.reproduce.settings import ReproduceSettings
from gqvae.reproduce.statistics import compare
from gqvae.reproduce.workspace import Workspace

Probes = Sequence[dict[str, Any]]
Pair = tuple[str, str, str]
"""What is matched, ours and a peer, by key."""


def results_of(space: Workspace, failures: Failures) -> dict[str, Any]:
    """All figures of a comparison; what failed is named, and missing."""
    from gqvae import __version__

    settings, done = space.settings(), space.done()
    contenders = [done[cell.key] for cell in plan_contenders(settings) if cell.key in done]
    probes = [result for result in done.values() if "points" in result]
    return {
        "gqvae": __version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {_accelerator()}",
        "config": settings.to_dict(),
        "corpus": {"inputs": space.inputs(), **_sizes(space)},
        "tokenizers": contenders,
        "probes": probes,
        "comparisons": list(_comparisons(settings, with_failures(done, failures), probes)),
        "failures": [{"cell": key, "error": error} for key, error in sorted(failures.items())],
    }


def pairs(settings: ReproduceSettings, done: Results) -> Iterator[Pair]:
    """What is compared with what. All see the same bytes of the same documents; "flops" stops both where the one that
    computes less has ended."""
    ids = settings.vocab_size
    ours, superword, fixed = f"gqvae-{ids}", f"superword-{ids}", best_fixed(settings, done)
    peers = [f"bpe-{ids}", *(f"{kind}-{ids}" for kind in PEERS if kind != "superbpe"), *([fixed] if fixed else [])]
    yield from (("vocabulary", ours, peer) for peer in peers)
    yield "compression", ours, MATCHED
    yield from (("flops", ours, peer) for peer in (f"bpe-{ids}", "bytes"))
    if settings.superword:
        for matched in ("vocabulary", "flops"):
            yield from ((matched, superword, peer) for peer in (f"superbpe-{ids}", f"bpe-{ids}"))


def bits_at(points: Sequence[dict[str, Any]], flops: float) -> float:
    """Bits per byte of a curve at so many FLOPs, linear in their logarithm between two measurements.

    >>> bits_at([{"flops": 1e9, "bits_per_byte": 3.0}, {"flops": 1e11, "bits_per_byte": 1.0}], 1e10)
    2.0
    """
    if points[0]["flops"] == flops:
        return float(points[0]["bits_per_byte"])
    for before, after in pairwise(points):
        if before["flops"] <= flops <= after["flops"]:
            width = math.log(after["flops"] / before["flops"])
            share = math.log(flops / before["flops"]) / width
            return float(before["bits_per_byte"] + share * (after["bits_per_byte"] - before["bits_per_byte"]))
    raise ValueError(f"{flops} FLOPs are not between the first measurement and the last")


def _comparisons(settings: ReproduceSettings, done: Results, probes: Probes) -> Iterator[dict[str, Any]]:
    for matched, ours, peer in pairs(settings, done):
        curves = [[probe["points"] for probe in probes if probe["tokenizer"] == key] for key in (ours, peer)]
        if not all(curves):
            continue
        if matched == "flops":
            least = min(points[-1]["flops"] for group in curves for points in group)
            if any(points[0]["flops"] > least for group in curves for points in group):
                continue  # the shorter training ends before the longer was first measured
            bits = [[bits_at(points, least) for points in group] for group in curves]
        else:
            bits = [[points[-1]["bits_per_byte"] for points in group] for group in curves]
        yield {"matched": matched, "ours": ours, "peer": peer, **compare(*bits).to_dict()}


def _sizes(space: Workspace) -> dict[str, int]:
    training, held_out = ([len(text.encode()) for text in part] for part in (space.training(), space.held_out()))
    return {
        "documents": len(training) + len(held_out),
        "training_bytes": sum(training),
        "held_out_documents": len(held_out),
        "held_out_bytes": sum(held_out),
    }


def _accelerator() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
