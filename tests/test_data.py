"""Batches without padding, and weighted samples that stand for a whole table."""

from collections import Counter

import numpy as np
import pytest
import torch

from gqvae.learn.data import Batches, Sample, as_tensor, by_length
from gqvae.pretokens import PretokenTable

COUNTS = {b"a": 100, b"bc": 60, b"de": 20, b"fgh": 9, b"ijk": 1}
TABLE = PretokenTable(list(COUNTS), np.array(list(COUNTS.values())), "gpt2", 12, {})


def test_a_batch_has_one_length_and_about_its_bytes() -> None:
    batches, generator = Batches(TABLE, 0.75, 60), torch.Generator().manual_seed(0)
    for _ in range(20):
        batch = batches.draw(generator)
        assert batch.dtype == torch.long
        assert batch.numel() == 60
        assert {bytes(row) for row in batch.tolist()} <= COUNTS.keys()


def test_pretokens_are_seen_in_proportion_to_a_power_of_their_count() -> None:
    batches, generator, power = Batches(TABLE, 0.5, 600), torch.Generator().manual_seed(0), 0.5
    seen = Counter(bytes(row) for _ in range(400) for row in batches.draw(generator).tolist())
    total = sum(count**power for count in COUNTS.values())
    for piece, count in COUNTS.items():
        assert seen[piece] / seen.total() == pytest.approx(count**power / total, rel=0.15)


def test_a_batch_smaller_than_a_pretoken_still_has_one() -> None:
    assert Batches(TABLE, 0.75, 1).draw(torch.Generator()).shape[0] == 1


def test_a_sample_larger_than_the_table_is_the_table() -> None:
    sample = Sample.of(TABLE, 5, torch.Generator())
    assert dict(zip(sample.pieces, sample.weights, strict=True)) == COUNTS


def test_a_sample_keeps_totals_unbiased() -> None:
    generator = torch.Generator().manual_seed(0)
    totals = [sum(Sample.of(TABLE, 3, generator).weights) for _ in range(2000)]
    assert sum(totals) / len(totals) == pytest.approx(sum(COUNTS.values()), rel=0.02)


def test_groups_and_tensors() -> None:
    assert by_length([b"bb", b"a", b"cc"]) == {1: [1], 2: [0, 2]}
    assert as_tensor([b"\x00\xff", b"ab"]).tolist() == [[0, 255], [97, 98]]
