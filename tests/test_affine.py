"""Affine maps by convolution give what torch's own give, and so do their gradients."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from gqvae.config import QuantizerConfig
from gqvae.learn import linear, nearest
from gqvae.learn.linear import Linear, affine, to_few_lengths


@pytest.fixture(params=[True, False], autouse=True)
def wide(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """On a processor with AVX-512, and on one without."""
    monkeypatch.setattr(linear, "_has_faster_onednn", lambda: request.param)
    return bool(request.param)


def results(function: Callable[..., Tensor], *tensors: Tensor) -> tuple[Tensor, ...]:
    """What it gives, and its gradients."""
    found = function(*tensors)
    pull = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
    return found, *torch.autograd.grad(found, tensors, pull)


@pytest.mark.parametrize("shape", [(1, 5), (0, 5), (2, 3, 5), (70, 1), (331, 64), (9, 41, 64), (5_000, 3, 5)])
@pytest.mark.parametrize("out", [1, 3, 64])
@pytest.mark.parametrize("little", [0, linear._LITTLE])
def test_it_is_what_torch_gives(shape: tuple[int, ...], out: int, little: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "_LITTLE", little)
    generator = torch.Generator().manual_seed(0)
    x, weight, bias = (torch.randn(*size, generator=generator) for size in (shape, (out, shape[-1]), (out,)))
    tensors = [tensor.requires_grad_() for tensor in (x, weight, bias)]
    for several in (tensors, tensors[:2]):
        for ours, theirs in zip(results(affine, *several), results(F.linear, *several), strict=True):
            assert_close(ours, theirs, rtol=1e-4, atol=1e-3)


def test_memory_need_not_be_in_order() -> None:
    x, weight = torch.randn(64, 40, 9).permute(2, 1, 0), torch.randn(64, 20).T
    assert_close(affine(x, weight), F.linear(x, weight), rtol=1e-4, atol=1e-4)


def test_a_layer_has_the_weights_of_torchs_own() -> None:
    ours, theirs, x = Linear(64, 7), torch.nn.Linear(64, 7), torch.randn(400, 64)
    theirs.load_state_dict(ours.state_dict())
    assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)


def test_the_search_for_codes_asks_onednn_too() -> None:
    latents = nearest.CELLS // nearest.CODES
    assert latents * (QuantizerConfig().code_width + 1) > linear._LITTLE  # else it takes twice the time


def test_half_precision_is_torchs() -> None:
    x, weight, bias = torch.randn(400, 64), torch.randn(7, 64), torch.randn(7)
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = affine(x, weight, bias), F.linear(x, weight, bias)
    assert ours.dtype == theirs.dtype == torch.bfloat16
    assert_close(ours, theirs, rtol=2e-2, atol=2e-1)


def test_what_is_compiled_is_left_to_the_compiler() -> None:
    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, _: list[Tensor]) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    layer, x = Linear(64, 7), torch.randn(400, 64)
    expected = layer(x)
    layer.compile(backend=backend, dynamic=True)
    assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)
    assert len(graphs) == 1
    assert "conv" not in graphs[0].code


def test_onednn_computes_it_on_one_thread_too(wide: bool) -> None:
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        pytest.skip("this torch has no oneDNN")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.profiler.profile() as profile:
            affine(torch.randn(400, 64), torch.randn(7, 64))
    finally:
        torch.set_num_threads(threads)
    assert wide == ("aten::mkldnn_convolution" in {event.key for event in profile.key_averages()})


def test_few_lengths_stand_for_all(wide: bool) -> None:
    lengths = [len(to_few_lengths(torch.ones(length))) for length in range(1 << 12)]
    assert all(length <= longer <= length * 9 / 8 for length, longer in enumerate(lengths))
    assert not wide or len(set(lengths)) < 100
    assert wide or lengths == [*range(1 << 12)]
    longer = to_few_lengths(torch.arange(1, 34))
    assert longer.nonzero()[:, 0].tolist() == [*range(33)]


@pytest.mark.parametrize(
    ("maker", "capability", "expected"),
    [
        ("AuthenticAMD", "AVX512", True),
        ("GenuineIntel", "AVX512", False),  # there MKL is as wide
        ("AuthenticAMD", "AVX2", False),
    ],
)
def test_onednn_is_asked_where_mkl_is_narrower(
    maker: str, capability: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the fixture's
    monkeypatch.setattr(linear.machine, "cpu_vendor", lambda: maker)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert linear._has_faster_onednn.__wrapped__() is expected
