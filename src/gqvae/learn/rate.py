"""Compression as a setting: the price of a token is moved until the network gives the bytes per token asked for.

How the price acts depends on the network, and changes as it learns: above zero nearly nothing happens, since few spans
have a second spelling that is nearly as probable; below, a nat moves the compression by a tenth (`docs/log.md`). So the
controller has no gain to tune. Of a segmentation everything but the price is computed once; what is left is a short
dynamic programme, and bisection finds the price at which the present network meets the target. Training goes part of
the way there, since the network adapts to the price it is trained with, and the last step all of it.

A price can only take from what the codebook makes possible, so codes move to longer spans (`revival`) as long as the
target is out of reach.
"""

from collections.abc import Collection

import torch
from torch import Tensor

from gqvae.config import Config
from gqvae.learn.data import Sample
from gqvae.learn.segmenter import NeuralSegmenter
from gqvae.learn.segments import best_total
from gqvae.needs import UNSPELLED, fewest_tokens

LOWEST = -20.0
"""Nats: tokens this cheap are single symbols."""
HIGHEST = 12.0
"""Nats: enough to bring back a code that is all but forgotten; allowed once inexact spans are too dear to use."""
SHARE = 0.5
"""Share of the way to the price that would meet the target, gone in one update."""
HALVINGS = 14
CLEAR = 0.01
"""Nats: a thousandth of the compression where that is smooth."""
TOLERANCE = 0.02
"""By which the compression may miss the target before that is said."""


class Curve:
    """Bytes per token of a frozen network, in Viterbi mode, as a function of the price.

    A span that its code does not spell exactly counts as the several tokens it falls back to.
    """

    @torch.no_grad()
    def __init__(self, segmenter: NeuralSegmenter, sample: Sample) -> None:
        self.bytes = sample.bytes
        self._parts: list[tuple[Tensor, Tensor, Tensor]] = []  # weights (B,), scores and tokens of spans (B, T, K)
        weights = torch.tensor(sample.weights, dtype=torch.float32)
        for indices, scores, exact in segmenter.spans(sample.pieces):
            longest = scores.shape[-1]
            fallback = torch.arange(1, longest + 1, device=scores.device).clamp(max=UNSPELLED)
            self._parts.append((weights[indices], scores, torch.where(exact, 1.0, fallback)))

    @torch.no_grad()
    def at(self, price: float) -> float:
        """Bytes per token when a token costs `price` nats."""
        tokens = sum(
            float((weights * best_total(scores - price, tokens).cpu()).sum(dtype=torch.double))
            for weights, scores, tokens in self._parts
        )
        return self.bytes / tokens

    def price_for(self, target: float, highest: float) -> float:
        """The price, from `LOWEST` to `highest` nats, at which the bytes per token are nearest to `target`."""
        low, high = LOWEST, highest
        if self.at(high) <= target:
            return high
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            if self.at(middle) < target:
                low = middle
            else:
                high = middle
        # at a jump of the curve, take the better side and stand clear of the edge, where rounding would decide
        below, above = low - CLEAR, high + CLEAR
        return min((below, above), key=lambda price: abs(self.at(price) - target))


def highest_price(config: Config, step: int) -> float:
    """Nats that a token may cost: as configured, but more once reconstruction has its full weight. Before that, a
    higher price would only buy longer tokens that no code spells."""
    settled = step >= config.objective.ramp[1] * config.training.steps
    return max(config.objective.price, HIGHEST) if settled else config.objective.price


def fewest(sample: Sample, strings: Collection[str], longest: int) -> float:
    """Bytes per token if every pretoken is spelled with as few of `strings` and single symbols as possible."""
    spelled = fewest_tokens(sample.weighted(), strings, longest)
    return sample.bytes / sum(weight * len(tokens) for tokens, weight in spelled)


def miss(target: float, reached: float, possible: float) -> str | None:
    """What to say when the bytes per token `reached` are not the target's: by how much, why, and what to do.

    Args:
        possible: the most the learned strings allow.
    """
    if abs(reached / target - 1) <= TOLERANCE:
        return None
    said = f"{reached:.2f} bytes per token, not the {target:g} asked for: "
    if reached > target:
        return said + "the network has not learned to use shorter tokens; train longer (--steps)"
    if possible < target:
        return said + f"the learned strings reach {possible:.2f} at most; raise --vocab-size, or train longer (--steps)"
    return said + f"the learned strings would reach {possible:.2f}, but are not used so; train longer (--steps)"
