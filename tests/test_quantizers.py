"""Every codebook against plain loops, and the reservoir that refills them."""

import pytest
import torch
from learning import QUANTIZERS, TINY
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from gqvae.config import QuantizerConfig
from gqvae.learn.quantizers import Quantizer, make_quantizer
from gqvae.learn.quantizers.ema import EMAOptions, EMAQuantizer
from gqvae.learn.quantizers.gradient import GradientQuantizer
from gqvae.learn.quantizers.reservoir import Reservoir

V, D = 30, 16
every = pytest.mark.parametrize("name", QUANTIZERS)


def make(name: str, size: int = V, seed: int = 0, commitment: float = 0.25) -> Quantizer:
    torch.manual_seed(seed)
    return make_quantizer(QuantizerConfig(name=name, code_width=6, commitment=commitment), size, D)


def latents(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, D, generator=torch.Generator().manual_seed(seed))


def distances(quantizer: Quantizer, projected: Tensor) -> Tensor:
    """(N, V): squared Euclidean in full width, or one minus the cosine, as the file of the quantizer says."""
    if isinstance(quantizer, GradientQuantizer):
        return (projected[:, None] - quantizer.codes).square().sum(-1)
    return 1 - F.cosine_similarity(projected[:, None], quantizer.codes, dim=-1)


@every
@torch.no_grad()
def test_nearest_is_what_comparing_with_every_code_finds(name: str) -> None:
    quantizer, z = make(name), latents(4, 7)
    expected = distances(quantizer, quantizer.project(z).flatten(0, 1)).argmin(-1).view(4, 7)
    snapped = quantizer(z)
    assert torch.equal(snapped.indices, expected)
    assert_close(snapped.vectors, quantizer.table()[expected])
    assert torch.equal(quantizer.candidates(z, 1).indices[..., 0], expected)


@every
def test_the_gradient_passes_straight_through(name: str) -> None:
    """The latents get the gradient their code's vector gets; the code itself gets none from the vector."""
    quantizer, z = make(name), latents(5).requires_grad_()
    vectors = quantizer(z).vectors
    to_codes = quantizer.codes if quantizer.codes.requires_grad else quantizer.codes.requires_grad_()
    toward, codes = torch.autograd.grad((vectors * latents(5, seed=2)).sum(), (z, to_codes), allow_unused=True)
    assert codes is None
    assert (toward.abs().sum(-1) > 0).all()
    if name == "gradient":
        assert_close(toward, latents(5, seed=2))


@every
def test_the_loss_is_the_papers(name: str) -> None:
    quantizer, z = make(name), latents(5)
    snapped = quantizer(z)
    apart = distances(quantizer, quantizer.project(z)).gather(1, snapped.indices[:, None])[:, 0]
    expected = {"gradient": 1.25 * apart / D, "cosine": 1.25 * apart, "ema": 0.25 * apart}[name]
    assert_close(snapped.loss, expected)
    assert_close(snapped.distances, {"gradient": apart / D, "cosine": expected, "ema": expected}[name])


@every
def test_commitment_scales_the_side_that_moves_the_latents(name: str) -> None:
    """The authors' code has the two sides swapped."""
    pulls = []
    for commitment in (0.0, 0.5, 1.0):
        z = latents(5).requires_grad_()
        quantizer = make(name, commitment=commitment)
        quantizer(z).loss.sum().backward()
        assert z.grad is not None
        pulls.append((z.grad, quantizer.codes.grad))
    assert_close(pulls[0][0], torch.zeros(5, D))
    assert_close(2 * pulls[1][0], pulls[2][0])
    assert_close(pulls[0][1], pulls[2][1])
    if name != "ema":
        assert pulls[0][1] is not None
        assert pulls[0][1].abs().sum() > 0


@every
@torch.no_grad()
def test_candidates_are_log_probabilities_over_all_codes(name: str) -> None:
    quantizer, z = make(name), latents(2, 3)
    everything = quantizer.candidates(z, V)
    assert_close(everything.log_probs.exp().sum(-1), torch.ones(2, 3))
    assert (everything.log_probs.diff(dim=-1) <= 0).all()
    assert torch.equal(everything.indices.sort(-1).values, torch.arange(V).expand(2, 3, V))
    few = quantizer.candidates(z, 4)
    assert_close(few.log_probs, everything.log_probs[..., :4])
    assert torch.equal(few.indices, everything.indices[..., :4])


@every
@torch.no_grad()
def test_candidates_can_be_limited(name: str) -> None:
    quantizer, z = make(name), latents(9)
    allowed = torch.arange(V) % 3 == 0
    found = quantizer.candidates(z, 10, allowed)
    assert allowed[found.indices].all()
    assert_close(found.log_probs.exp().sum(-1), torch.ones(9))


@every
@torch.no_grad()
def test_candidates_asked_for_besides(name: str) -> None:
    """The nearest code is a candidate already, the farthest is new, and of the third latent none is asked for."""
    quantizer, z = make(name), latents(3)
    everything = quantizer.candidates(z, V)
    nearest, farthest = everything.indices[:, 0], everything.indices[:, -1]
    found = quantizer.candidates(z, 4, besides=torch.stack([nearest, farthest, torch.full((3,), -1)], 1))
    assert torch.equal(found.indices[:, :4], everything.indices[:, :4])
    assert torch.equal(found.indices[:, 5], farthest)
    expected = everything.log_probs[:, [0, 1, 2, 3, 0, -1, 0]].index_fill(1, torch.tensor([4, 6]), -torch.inf)
    assert_close(found.log_probs, expected)
    assert ((found.indices >= 0) & (found.indices < V)).all()


@every
@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize("besides", [False, True])
def test_the_gradient_of_candidates_is_that_of_a_softmax(name: str, besides: bool, limited: bool) -> None:
    """`candidates` takes its gradient by hand; `log_softmax` over the whole codebook is the slow twin."""
    quantizer, z = make(name), latents(2, 3).requires_grad_()
    allowed = torch.arange(V) % 3 > 0 if limited else None
    more = torch.randint(-1, V, (2, 3, 5), generator=torch.Generator().manual_seed(0)) if besides else None
    found = quantizer.candidates(z, 4, allowed, more)
    logits = quantizer.similarity(quantizer.project(z).flatten(0, 1))
    total = (logits if allowed is None else logits.masked_fill(~allowed, -torch.inf)).logsumexp(-1, keepdim=True)
    plain = (logits - total).view(2, 3, V).gather(-1, found.indices)

    real = found.log_probs.isfinite()
    assert real[..., :4].all()
    assert real[..., 4:].any() == besides
    assert_close(found.log_probs[real], plain[real])
    pull = torch.randn(real.shape, generator=torch.Generator().manual_seed(1))[real]
    inputs = [z, *quantizer.parameters()]
    ours = torch.autograd.grad((found.log_probs[real] * pull).sum(), inputs, allow_unused=True)
    theirs = torch.autograd.grad((plain[real] * pull).sum(), inputs, allow_unused=True)
    assert [gradient is None for gradient in ours] == [gradient is None for gradient in theirs]
    for one, other in zip(ours, theirs, strict=True):
        if one is not None:
            assert_close(one, other, rtol=1e-4, atol=1e-4)


@every
@torch.no_grad()
def test_a_codebook_larger_than_the_data_or_smaller_than_the_candidates(name: str) -> None:
    assert make(name, size=500)(latents(2)).indices.shape == (2,)
    assert make(name, size=3).candidates(latents(2), 8).indices.shape == (2, 3)


@every
@torch.no_grad()
def test_a_replaced_code_is_the_nearest_of_its_latent(name: str) -> None:
    quantizer, z = make(name), latents(2)
    before, rows = quantizer.codes.clone(), torch.tensor([7, 19])
    quantizer.replace(rows, z)
    assert torch.equal(quantizer(z).indices, rows)
    others = torch.ones(V, dtype=torch.bool).index_fill(0, rows, False)
    assert torch.equal(quantizer.codes[others], before[others])


@every
@torch.no_grad()
def test_the_state_is_all_there_is(name: str) -> None:
    quantizer, copy, z = make(name), make(name, seed=5), latents(40)
    quantizer.assign(z, quantizer(z).indices[:, None], torch.rand(40, 1))
    copy.load_state_dict(quantizer.state_dict())
    for each in (quantizer, copy):
        each.assign(latents(9, seed=3), torch.arange(9)[:, None], torch.ones(9, 1))
    assert torch.equal(copy.candidates(z, 5).log_probs, quantizer.candidates(z, 5).log_probs)


@torch.no_grad()
def test_ema_follows_its_formula() -> None:
    torch.manual_seed(0)
    quantizer = EMAQuantizer(V, D, QuantizerConfig(code_width=6), EMAOptions(decay=0.9))
    masses, sums = quantizer.masses.tolist(), list(quantizer.sums.clone())
    for step in range(3):
        z, codes = latents(12, seed=step), torch.randint(0, 5, (12,)).tolist()
        weights = torch.rand(12).tolist()
        quantizer.assign(z, torch.tensor(codes)[:, None], torch.tensor(weights)[:, None])
        for code in range(V):
            members = [n for n in range(12) if codes[n] == code]
            masses[code] = 0.9 * masses[code] + 0.1 * sum(weights[n] for n in members)
            total = sum((weights[n] * quantizer.project(z[n]) for n in members), torch.zeros(6))
            sums[code] = 0.9 * sums[code] + 0.1 * total
    assert_close(quantizer.masses, torch.tensor(masses))
    assert_close(quantizer.sums, torch.stack(sums))
    assert_close(quantizer.codes, torch.stack([total / total.norm() for total in sums]))


@torch.no_grad()
def test_a_code_of_ema_that_nobody_uses_stays_where_it_is() -> None:
    quantizer = EMAQuantizer(V, D, QuantizerConfig(code_width=6), EMAOptions(decay=0.5))
    before = quantizer.codes.clone()
    for _ in range(200):
        quantizer.assign(latents(3), torch.zeros(3, 1, dtype=torch.long), torch.ones(3, 1))
    assert_close(quantizer.codes[1:], before[1:])
    assert torch.isfinite(quantizer.codes).all()


@every
def test_the_width_of_the_codes(name: str) -> None:
    assert make(name).codes.shape == (V, D if name == "gradient" else 6)
    assert make_quantizer(TINY.quantizer, 5, TINY.model.width).table().shape == (5, TINY.model.width)


# The reservoir


def numbered(*values: float) -> tuple[Tensor, Tensor]:
    """Latents of width 1 whose error is their value."""
    errors = torch.tensor(values, dtype=torch.float)
    return errors[:, None], errors


def held(reservoir: Reservoir) -> list[float]:
    return sorted(reservoir.latents[:, 0].tolist())


def test_the_reservoir_keeps_the_farthest_of_each_step() -> None:
    reservoir = Reservoir(size=10, per_step=2, width=1)
    reservoir.offer(*numbered(3, 1, 4))
    reservoir.offer(*numbered(1.5))
    assert held(reservoir) == [1.5, 3, 4]


def test_the_reservoir_overwrites_the_oldest_first() -> None:
    reservoir = Reservoir(size=4, per_step=3, width=1)
    for step in range(4):
        reservoir.offer(*numbered(step + 0.1, step + 0.2, step + 0.3))
        newest = [s + part for s in range(step + 1) for part in (0.3, 0.2, 0.1)][-4:]
        assert held(reservoir) == pytest.approx(sorted(newest))


def test_the_reservoir_takes_more_at_once_than_it_holds() -> None:
    reservoir = Reservoir(size=2, per_step=5, width=1)
    reservoir.offer(*numbered(3, 1, 5, 2, 4))
    assert held(reservoir) == [4, 5]


def test_drawing_is_without_replacement_and_repeatable() -> None:
    reservoir = Reservoir(size=20, per_step=20, width=1)
    reservoir.offer(*numbered(*range(20)))
    drawn = [reservoir.draw(15, torch.Generator().manual_seed(3))[:, 0].tolist() for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 15
    assert len(reservoir.draw(50, torch.Generator())) == 20
    reservoir.empty()
    assert len(reservoir.draw(50, torch.Generator())) == 0


def test_the_reservoir_travels_in_its_state() -> None:
    reservoir = Reservoir(size=3, per_step=2, width=1)
    for step in range(3):
        reservoir.offer(*numbered(step, step + 0.5))
    assert set(reservoir.state_dict()) == {"latents", "position"}
