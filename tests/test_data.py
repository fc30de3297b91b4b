"""Batches without padding, and weighted samples that stand for a whole table."""

from collections import Counter

import numpy as np
import pytest
import torch

from gqvae.learn.alphabet import SymbolTable
from gqvae.learn.data import Batches, Sample, as_tensor, by_length

COUNTS = {"a": 100, "bc": 60, "de": 20, "fgh": 9, "\u0100\ud7ff\xff": 1}
TEXTS = [b"a", b"bcbc", b"dede", b"fgh", b"\x00" * 50]
TABLE = SymbolTable(list(COUNTS), np.array(list(COUNTS.values())), TEXTS)
BYTES = 100 * 1 + 60 * 4 + 20 * 4 + 9 * 3 + 1 * 50


def as_text(row: list[int]) -> str:
    return "".join(map(chr, row))


def test_a_batch_has_one_length_and_about_its_symbols() -> None:
    batches, generator = Batches(TABLE, 0.75, 60), torch.Generator().manual_seed(0)
    for _ in range(20):
        batch = batches.draw(generator)
        assert batch.dtype == torch.long
        assert batch.numel() == 60
        assert set(map(as_text, batch.tolist())) <= COUNTS.keys()


def test_pretokens_are_seen_in_proportion_to_a_power_of_their_count() -> None:
    batches, generator, power = Batches(TABLE, 0.5, 600), torch.Generator().manual_seed(0), 0.5
    seen = Counter(as_text(row) for _ in range(400) for row in batches.draw(generator).tolist())
    total = sum(count**power for count in COUNTS.values())
    for piece, count in COUNTS.items():
        assert seen[piece] / seen.total() == pytest.approx(count**power / total, rel=0.15)


def test_a_batch_smaller_than_a_pretoken_still_has_one() -> None:
    assert Batches(TABLE, 0.75, 1).draw(torch.Generator()).shape[0] == 1


@pytest.mark.parametrize("sample", [Sample.whole(TABLE), Sample.of(TABLE, 5, torch.Generator())])
def test_a_sample_as_large_as_the_table_is_the_table(sample: Sample) -> None:
    assert dict(zip(sample.pieces, sample.weights, strict=True)) == COUNTS
    assert sample.bytes == TABLE.total_bytes == BYTES


def test_a_sample_keeps_totals_unbiased() -> None:
    generator = torch.Generator().manual_seed(0)
    samples = [Sample.of(TABLE, 3, generator) for _ in range(4000)]
    assert sum(sum(sample.weights) for sample in samples) / len(samples) == pytest.approx(TABLE.counts.sum(), rel=0.02)
    assert sum(sample.bytes for sample in samples) / len(samples) == pytest.approx(BYTES, rel=0.03)


def test_a_sample_knows_the_bytes_it_stands_for() -> None:
    sample = Sample.of(TABLE, 3, torch.Generator().manual_seed(0))
    assert 0 < len(sample.pieces) < len(TABLE.pieces)
    sizes = dict(zip(TABLE.pieces, map(len, TEXTS), strict=True))
    expected = sum(weight * sizes[piece] for piece, weight in zip(sample.pieces, sample.weights, strict=True))
    assert sample.bytes == pytest.approx(expected)


def test_groups_and_tensors() -> None:
    assert by_length(["bb", "a", "cc"]) == {1: [1], 2: [0, 2]}
    assert as_tensor(["\x00\xff", "ab", "\u0100\ud7ff"]).tolist() == [[0, 255], [97, 98], [256, 0xD7FF]]
