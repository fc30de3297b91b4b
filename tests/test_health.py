"""How a codebook fares."""

import json
import math

import pytest
import torch
from learning import new_model
from torch.testing import assert_close

from gqvae.learn import health
from gqvae.learn.data import Sample
from gqvae.learn.run import Run
from gqvae.learn.segmenter import Segmented


def test_places_are_the_same_at_any_scale() -> None:
    quantizer = new_model("cosine").quantizer
    before = health.places(quantizer)
    with torch.no_grad():
        quantizer.codes *= 3
        quantizer.log_scale += 1
    assert_close(health.places(quantizer), before)
    assert not before.requires_grad


def test_movement_is_in_typical_distances() -> None:
    places = torch.randn(4_000, 3, generator=torch.Generator().manual_seed(0))
    typical = math.sqrt(torch.pdist(places[:500]).square().mean().item())
    assert health.movement(places, places) == 0
    assert health.movement(places, places + torch.tensor([typical, 0, 0])) == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize("size", [1, 2, 50, 3_000])
def test_near_duplicates(size: int) -> None:
    apart = 10 * torch.randn(size, 16, generator=torch.Generator().manual_seed(0))
    assert health.near_duplicates(apart) == 0
    if size > 1:
        assert health.near_duplicates(torch.cat([apart, apart + 1e-3])) == 1
        half = torch.cat([apart, apart[:1] + 1e-3 * torch.arange(1, size + 1)[:, None] / size])
        assert health.near_duplicates(half) == pytest.approx((size + 1) / (2 * size), abs=0.05)


def test_use_by_rank_and_what_is_exact() -> None:
    """'ab' is one code; 'abab' is spelled 'ab', 'a', 'b', and once 'a' stands for 'c'."""
    sample = Sample(["ab", "abab", "c"], [6.0, 1.0, 3.0], bytes=19.0)
    segmented = [Segmented([2], [0]), Segmented([2, 3, 4], [0, 1, 2]), Segmented([1], [1])]
    found = health.of_use(sample, segmented, ["ab", "a", "b", "b"], longest=3)
    assert found["use_by_rank"] == pytest.approx([7 / 12, 4 / 12])
    assert found["ideal_by_rank"] == pytest.approx([8 / 11, 3 / 11])
    assert found["codes_always_exact"] == pytest.approx(2 / 3)
    assert found["duplicate_strings"] == pytest.approx(1 / 4)


def test_a_training_logs_it(trained: Run) -> None:
    rows = [json.loads(line) for line in trained.metrics.read_text().splitlines()]
    assert [row["movement"] is None for row in rows[:1]] == [True]
    assert rows[-1]["movement"] > 0
    for row in rows:
        for key in ("codes_always_exact", "duplicate_strings", "near_duplicates"):
            assert 0 <= row[key] <= 1, key
        assert row["use_by_rank"] == sorted(row["use_by_rank"], reverse=True)
        assert row["quantizer"]["scale"] > 0
