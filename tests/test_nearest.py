"""Search for the nearest codes, in tiles, against the whole table of logits and the gradient of autograd."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from gqvae.learn import linear
from gqvae.learn import nearest as module
from gqvae.learn.nearest import nearest, nearest_few

WIDTH = 5
TILES = [(512, 2_048), (7, 128), (3, 64)]
"""Rows and codes, of many codes: all at once, and cut with something left over."""


def table(rows: int, codes: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(codes)
    made = (torch.randn(rows, WIDTH, generator=generator), torch.randn(codes, WIDTH, generator=generator))
    return (*(tensor.requires_grad_() for tensor in made), torch.randn(codes, generator=generator).requires_grad_())


@pytest.fixture(params=TILES, autouse=True)
def tiles(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for device in ("", "GPU_"):
        monkeypatch.setattr(module, f"{device}CELLS", request.param[0] * request.param[1])
        monkeypatch.setattr(module, f"{device}CODES", request.param[1])


@pytest.fixture(params=["one thread", "many threads", "gpu"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is done with each of these, on the CPU."""
    monkeypatch.setattr(linear, "_has_faster_onednn", lambda: request.param != "gpu")
    monkeypatch.setattr(linear, "_LITTLE", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1 if request.param == "one thread" else 16)


@pytest.mark.parametrize("codes", [1, 3, 64, 65, 700, 3_000])
@pytest.mark.parametrize("limited", [False, True])
def test_the_nearest_is_that_of_the_whole_table(codes: int, limited: bool) -> None:
    projected, keys, bias = table(20, codes)
    allowed = torch.arange(codes) % 3 == 0 if limited else None
    logits = (projected @ keys.T + bias).detach()
    logits = logits if allowed is None else logits.masked_fill(~allowed, -torch.inf)
    assert torch.equal(nearest(projected, keys, bias, allowed), logits.argmax(-1))


@pytest.mark.parametrize("rows", [0, 1, 15, 16, 17])
def test_any_number_of_latents(rows: int) -> None:
    projected, keys, bias = table(rows, 70)
    assert torch.equal(nearest(projected, keys, bias), (projected @ keys.T + bias).argmax(-1))


@pytest.mark.parametrize("codes", [4, 64, 130, 3_000])
@pytest.mark.parametrize("limited", [False, True])
def test_the_nearest_few_and_their_sum_are_those_of_the_whole_table(codes: int, limited: bool) -> None:
    tensors = table(20, codes)
    allowed = torch.arange(codes) % 3 < 2 if limited else None
    logits = torch.addmm(tensors[2], tensors[0], tensors[1].T)
    logits = logits if allowed is None else logits.masked_fill(~allowed, -torch.inf)
    total, found = nearest_few(*tensors, 3, allowed)
    assert torch.equal(found, logits.topk(3).indices)
    assert_close(total, logits.logsumexp(-1))
    pull = torch.randn(20, generator=torch.Generator().manual_seed(0))
    ours, theirs = (torch.autograd.grad((sums * pull).sum(), tensors) for sums in (total, logits.logsumexp(-1)))
    for one, other in zip(ours, theirs, strict=True):
        assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_half_precision_around_it_changes_nothing() -> None:
    projected, keys, bias = table(20, 700)
    half = projected.bfloat16()
    found, (total, few) = nearest(half.float(), keys, bias), nearest_few(half.float(), keys, bias, 3)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(nearest(half, keys, bias), found)
        again, same = nearest_few(half, keys, bias, 3)
        (gradient,) = torch.autograd.grad(again.sum(), keys)
    assert torch.equal(same, few)
    assert torch.equal(again, total)
    assert torch.equal(gradient, torch.autograd.grad(total.sum(), keys)[0])


def test_there_is_no_second_gradient() -> None:
    projected, keys, bias = table(5, 70)
    total, _ = nearest_few(projected, keys, bias, 3)
    (once,) = torch.autograd.grad(total.sum(), projected, create_graph=True)
    with pytest.raises(RuntimeError):
        torch.autograd.grad(once.sum(), projected)


def test_of_equal_codes_the_first() -> None:
    assert nearest(torch.ones(1, 2), torch.ones(5_000, 2), torch.zeros(5_000)).tolist() == [0]


def test_more_wanted_than_allowed_are_codes_all_the_same() -> None:
    projected, keys, bias = table(6, 70)
    allowed = torch.arange(70) == 13
    total, found = nearest_few(projected, keys, bias, 4, allowed)
    assert (found[:, 0] == 13).all()
    assert ((found >= 0) & (found < 70)).all()
    assert_close(total, projected @ keys[13] + bias[13])
