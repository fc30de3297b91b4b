"""Means over seeds, and what may be said about their difference."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from scipy import stats

LEVEL = 0.95
Verdict = Literal["lower", "higher", "no difference", "not enough seeds"]


@dataclass(frozen=True)
class Summary:
    """Mean of n values, and the half width of its 95% interval (Student's t), None for fewer than two."""

    mean: float
    interval: float | None
    n: int


@dataclass(frozen=True)
class Comparison:
    """The mean over our seeds against that over a peer's; the verdict is on ours.

    interval: half width of the 95% interval of the difference. A difference within it is called none.
    """

    seeds: int
    ours_mean: float
    peer_mean: float
    difference: float
    interval: float | None
    verdict: Verdict

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def summary(values: Sequence[float]) -> Summary:
    """Mean and interval of a sample.

    >>> summary([1.0, 2.0, 3.0]).mean, round(summary([1.0, 2.0, 3.0]).interval, 3)
    (2.0, 2.484)
    """
    mean, n = statistics.fmean(values), len(values)
    if n < 2:
        return Summary(mean, None, n)
    return Summary(mean, _quantile(n - 1) * math.sqrt(statistics.variance(values) / n), n)


def compare(ours: Sequence[float], peer: Sequence[float]) -> Comparison:
    """By Welch's t interval, which does not take the two to vary alike."""
    means = statistics.fmean(ours), statistics.fmean(peer)
    difference, seeds = means[0] - means[1], min(len(ours), len(peer))
    if seeds < 2:
        return Comparison(seeds, *means, difference, None, "not enough seeds")
    interval = _welch(ours, peer)
    verdict: Verdict = "no difference" if abs(difference) <= interval else "lower" if difference < 0 else "higher"
    return Comparison(seeds, *means, difference, interval, verdict)


def _welch(ours: Sequence[float], peer: Sequence[float]) -> float:
    """Half width of the interval of the difference of means."""
    shares = [statistics.variance(values) / len(values) for values in (ours, peer)]
    if not sum(shares):
        return 0.0
    freedom = sum(shares) ** 2 / sum(s**2 / (len(v) - 1) for s, v in zip(shares, (ours, peer), strict=True))
    return _quantile(freedom) * math.sqrt(sum(shares))


def _quantile(freedom: float) -> float:
    return float(stats.t.ppf((1 + LEVEL) / 2, freedom))
