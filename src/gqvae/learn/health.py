"""How a codebook fares where codes stand for strings.

Shapes: V codes, d the width they are compared in.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from gqvae.learn.data import Sample
from gqvae.learn.quantizers import Quantizer
from gqvae.learn.segmenter import Segmented
from gqvae.needs import fewest_tokens, usage

NEAR = 0.1
"""Codes nearer than this share of the typical distance between two are near-duplicates."""
LOOKED_AT = 1_024
"""Codes whose nearest other is searched."""


@torch.no_grad()
def places(quantizer: Quantizer) -> Tensor:
    """(V, d): where the codes lie as they are compared, whatever the scale."""
    keys = quantizer.keys()[0].detach()
    scaled: Tensor = keys / keys.square().sum(1).mean().sqrt().clamp(min=1e-12)
    return scaled


def movement(before: Tensor, now: Tensor) -> float:
    """Mean distance that codes moved from `places` to others, in typical distances between two codes."""
    distances: Tensor = torch.linalg.vector_norm(now - before, dim=1)
    return float(distances.mean()) / _typical(now)


def near_duplicates(places: Tensor) -> float:
    """Share of codes that hardly differ from another, by a sample of the codes."""
    if len(places) < 2:
        return 0.0
    rows = torch.arange(0, len(places), math.ceil(len(places) / LOOKED_AT), device=places.device)
    distances = torch.cdist(places[rows], places)
    distances[torch.arange(len(rows), device=rows.device), rows] = math.inf
    return (distances.amin(1) < NEAR * _typical(places)).float().mean().item()


def _typical(places: Tensor) -> float:
    """Root of the mean squared distance between two codes."""
    return math.sqrt(2 * places.var(0, correction=0).sum().item()) or 1.0


def of_use(sample: Sample, segmented: Sequence[Segmented], strings: Sequence[str], longest: int) -> dict[str, Any]:
    """How codes are used on held-out pretokens, weighted by occurrence.

    duplicate_strings: share of the codes that say what another says: so many ids are lost. codes_always_exact: share of
    the codes in use that stand for their own string each time. use_by_rank: share of the tokens that the code of rank
    1, 2, 4, ... has; ideal_by_rank: the same where each pretoken is spelled by the fewest of the codebook's strings.
    Uniform use, which perplexity rewards, is not what text asks for.
    """
    used: Counter[int] = Counter()
    wrong: set[int] = set()
    for piece, weight, result in zip(sample.pieces, sample.weights, segmented, strict=True):
        for code, span in zip(result.codes, result.spans(piece), strict=True):
            used[code] += weight  # type: ignore[assignment]
            if strings[code] != span:
                wrong.add(code)
    known = set(strings)
    ideal = usage(fewest_tokens(sample.weighted(), known, longest))
    return {
        "duplicate_strings": 1 - len(known) / len(strings),
        "codes_always_exact": 1 - len(wrong) / len(used),
        "use_by_rank": _by_rank(used.values()),
        "ideal_by_rank": _by_rank(ideal.values()),
    }


def _by_rank(uses: Iterable[float]) -> list[float]:
    ranked = sorted(uses, reverse=True)
    total = sum(ranked)
    return [ranked[2**n - 1] / total for n in range(len(ranked).bit_length())]
