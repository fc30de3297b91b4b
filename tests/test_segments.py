"""The mathematics of segmentation against enumeration of every case."""

import math
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from learning import tilings
from torch import Tensor
from torch.testing import assert_close

from gqvae.learn.segments import (
    best_lengths,
    ends_from_lengths,
    log_partition,
    lookback,
    open_lengths,
    span_posterior,
    survival_mask,
    within,
)

# B, T, K and a seed
shapes = st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 9), st.integers(0, 1000))


def random_scores(batch: int, length: int, longest: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(batch, length, longest, generator=generator, dtype=torch.double)


def random_gates(batch: int, length: int, seed: int) -> Tensor:
    return torch.rand(batch, length, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def total(scores: Tensor, tiling: list[tuple[int, int]]) -> float:
    """Log weight of one segmentation; scores (T, K)."""
    return sum(scores[span].item() for span in tiling)


# The marginal


@given(shapes)
def test_log_partition_sums_over_all_segmentations(shape: tuple[int, int, int, int]) -> None:
    _, length, longest, _ = shape
    scores = random_scores(*shape)
    slow = [math.log(sum(math.exp(total(row, tiling)) for tiling in tilings(length, longest))) for row in scores]
    assert_close(log_partition(scores), torch.tensor(slow, dtype=torch.double))


@given(shapes)
def test_span_posterior_is_the_share_of_segmentations_with_the_span(shape: tuple[int, int, int, int]) -> None:
    _, length, longest, _ = shape
    scores = random_scores(*shape)
    slow = torch.zeros_like(scores)
    for row, shares in zip(scores, slow, strict=True):
        weights = [(math.exp(total(row, tiling)), tiling) for tiling in tilings(length, longest)]
        for weight, tiling in weights:
            for span in tiling:
                shares[span] += weight / sum(w for w, _ in weights)
    assert_close(span_posterior(scores), slow)


@given(shapes)
def test_posterior_spans_tile(shape: tuple[int, int, int, int]) -> None:
    """Every byte lies in one span: expected lengths sum to T, and a token ends at the last byte for sure."""
    batch, length, longest, _ = shape
    posterior = span_posterior(random_scores(*shape))
    sizes = torch.arange(1, longest + 1, dtype=torch.double)
    assert_close((posterior * sizes).sum((1, 2)), torch.full((batch,), float(length), dtype=torch.double))
    assert_close(posterior[:, -1].sum(-1), torch.ones(batch, dtype=torch.double))


@given(shapes)
def test_best_lengths_lead_to_the_best_segmentation_of_every_prefix(shape: tuple[int, int, int, int]) -> None:
    _, length, longest, _ = shape
    scores = random_scores(*shape)
    for row, lengths in zip(scores, best_lengths(scores).tolist(), strict=True):
        for size in range(1, length + 1):
            best = max(tilings(size, longest), key=lambda tiling: total(row, tiling))
            assert ends_from_lengths(lengths[:size]) == [end + 1 for end, _ in best]
            assert lengths[size - 1] == best[-1][1] + 1


@given(shapes)
def test_no_function_reads_spans_that_begin_before_the_pretoken(shape: tuple[int, int, int, int]) -> None:
    _, length, longest, _ = shape
    scores = random_scores(*shape)
    spoiled = scores.masked_fill(~within(length, longest), math.nan)
    assert_close(log_partition(spoiled), log_partition(scores))
    assert_close(span_posterior(spoiled), span_posterior(scores))
    assert torch.equal(best_lengths(spoiled), best_lengths(scores))


def test_the_marginal_by_hand() -> None:
    """Two bytes: one token of two, or two of one."""
    scores = torch.tensor([[[math.log(2.0), math.nan], [math.log(3.0), math.log(4.0)]]])
    assert_close(log_partition(scores), torch.tensor([math.log(2 * 3 + 4)]))
    assert_close(span_posterior(scores), torch.tensor([[[0.6, 0.0], [0.6, 0.4]]]))
    assert best_lengths(scores).tolist() == [[1, 1]]


def test_scores_far_from_zero_stay_finite() -> None:
    scores = torch.full((1, 50, 4), -1e4)
    assert torch.isfinite(log_partition(scores)).all()
    assert torch.isfinite(span_posterior(scores)).all()


def test_a_tie_goes_to_the_shorter_token() -> None:
    assert best_lengths(torch.tensor([[[0.0, 0.0], [0.0, 0.0]]])).tolist() == [[1, 1]]


def test_posterior_is_detached_and_needs_no_gradient_mode() -> None:
    scores = torch.randn(1, 3, 2, requires_grad=True)
    with torch.no_grad():
        assert not span_posterior(scores).requires_grad
    assert scores.grad is None


# Gates


def closings(gates: tuple[int, ...], longest: int) -> list[tuple[int, bool]]:
    """The paper's segmentation by 0/1 gates, one byte after the other: (bytes open so far, does it end here)."""
    size, seen = 0, []
    for place, gate in enumerate(gates):
        size += 1
        ends = bool(gate) or size == longest or place + 1 == len(gates)
        seen.append((size, ends))
        size = 0 if ends else size
    return seen


@given(shapes)
def test_open_lengths_are_the_expectation_over_all_patterns_of_gates(shape: tuple[int, int, int, int]) -> None:
    batch, length, longest, seed = shape
    gates = random_gates(batch, length, seed)
    open_, ends = torch.zeros(batch, length, longest).double(), torch.zeros(batch, length).double()
    for pattern in product((0, 1), repeat=length):
        bits = torch.tensor(pattern)
        probability = torch.where(bits == 1, gates, 1 - gates).prod(1)
        for t, (size, ending) in enumerate(closings(pattern, longest)):
            open_[:, t, size - 1] += probability
            ends[:, t] += probability * ending
    found_open, found_ends = open_lengths(gates, longest)
    assert_close(found_open, open_)
    assert_close(found_ends, ends)


@given(shapes)
def test_survival_mask_is_the_papers_product_where_no_gate_is_forced(shape: tuple[int, int, int, int]) -> None:
    batch, length, _, seed = shape
    gates = random_gates(batch, length, seed)
    mask = survival_mask(open_lengths(gates, length)[0])
    for row, t, k in product(range(batch), range(length), range(length)):
        expected = math.prod(1 - gates[row, t - j].item() for j in range(1, k + 1)) if k <= t else 0.0
        assert mask[row, t, k].item() == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.integers(0, 1), min_size=1, max_size=12), st.integers(1, 5))
def test_hard_gates_give_the_hard_segmentation(pattern: list[int], longest: int) -> None:
    open_, ends = open_lengths(torch.tensor([pattern], dtype=torch.float), longest)
    slow = closings(tuple(pattern), longest)
    assert (open_.argmax(-1) + 1).tolist() == [[size for size, _ in slow]]
    assert ends.tolist() == [[float(ending) for _, ending in slow]]
    assert ends_from_lengths((open_.argmax(-1) + 1)[0].tolist()) == [t + 1 for t, (_, e) in enumerate(slow) if e]


def test_gates_by_hand() -> None:
    """A half-open gate after the first of three bytes, K = 2."""
    open_, ends = open_lengths(torch.tensor([[0.5, 0.0, 0.0]]), 2)
    assert_close(open_, torch.tensor([[[1.0, 0.0], [0.5, 0.5], [0.5, 0.5]]]))
    assert_close(ends, torch.tensor([[0.5, 0.5, 1.0]]))
    assert_close(survival_mask(open_), torch.tensor([[[1.0, 0.0], [1.0, 0.5], [1.0, 0.5]]]))


def test_the_forced_gates_leave_a_gradient_for_the_free_ones() -> None:
    gates = torch.full((1, 4), 0.5, requires_grad=True)
    open_lengths(gates, 2)[1][0, :3].sum().backward()
    assert gates.grad is not None
    assert (gates.grad[0, :2] != 0).all()
    assert gates.grad[0, 3] == 0


@given(shapes)
def test_lookback_is_indexing(shape: tuple[int, int, int, int]) -> None:
    batch, length, longest, _ = shape
    values = torch.arange(1, batch * length + 1).view(batch, length)
    found = lookback(values, longest)
    assert found.shape == (batch, length, longest)
    for row, t, k in product(range(batch), range(length), range(longest)):
        assert found[row, t, k] == (values[row, t - k] if k <= t else 0)
