"""What sets each quantizer apart: its gradient, its codes, and the library or formula it follows."""

from typing import Any

import pytest
import torch
from learning import new_model
from quantizing import D, V, generator, latents, make
from torch.nn import functional as F
from torch.testing import assert_close

from gqvae.config import QuantizerConfig
from gqvae.learn.quantizers import make_quantizer
from gqvae.learn.quantizers.bridge import BridgeQuantizer
from gqvae.learn.quantizers.fsq import FiniteScalarQuantizer, levels_for
from gqvae.learn.quantizers.gumbel import GumbelQuantizer
from gqvae.learn.quantizers.lookup_free import LookupFreeQuantizer
from gqvae.learn.quantizers.product import ProductQuantizer
from gqvae.learn.quantizers.residual import ResidualQuantizer
from gqvae.learn.quantizers.soft_topk import SoftTopKQuantizer
from gqvae.learn.quantizers.whitening import WhiteningQuantizer


def of_type(kind: type[Any], variant: str, **settings: Any) -> Any:
    found = make(variant, **settings)
    assert isinstance(found, kind)
    return found


# Against vector-quantize-pytorch


@pytest.mark.parametrize("levels", [(8, 5, 5), (3, 4), (7,)])
@torch.no_grad()
def test_fsq_is_theirs(levels: tuple[int, ...]) -> None:
    from vector_quantize_pytorch import FSQ

    config = QuantizerConfig(name="fsq", options={"levels": ",".join(map(str, levels))})
    quantizer, theirs, z = make_quantizer(config, 2, D), FSQ(list(levels)), latents(300)
    assert isinstance(quantizer, FiniteScalarQuantizer)
    codes, _ = theirs(quantizer.project_in(z)[None])
    assert_close(quantizer.project_out(codes[0]), quantizer(z).vectors)
    assert quantizer.size == theirs.codebook_size


@torch.no_grad()
def test_lookup_free_is_theirs() -> None:
    quantizer, z = of_type(LookupFreeQuantizer, "wetok"), latents(300)
    theirs = quantizer.terms.eval()(quantizer.project(z)[None])
    assert_close(quantizer.points()[quantizer(z).indices], theirs.quantized[0])


def test_rotation_keeps_the_angle() -> None:
    """The gradient of the latent has the angle to it that the vector's has to the code."""
    quantizer, z = make("rotation"), latents(9).requires_grad_()
    found, pull = quantizer(z), latents(9, seed=4)
    (gradient,) = torch.autograd.grad((found.vectors * pull).sum(), z)
    codes = quantizer.points()[found.indices]
    assert_close(found.vectors, codes, atol=1e-4, rtol=1e-4)
    assert_close(F.cosine_similarity(gradient, z), F.cosine_similarity(pull, codes), atol=1e-4, rtol=1e-4)


def test_diveq_moves_codes_and_latents() -> None:
    quantizer, z = make("diveq"), latents(9).requires_grad_()
    quantizer.begin_step(0, seed=0)
    found = quantizer(z)
    assert found.loss.abs().max() == 0
    assert (found.distances > 0).all()
    for gradient in torch.autograd.grad(found.vectors.square().sum(), (z, quantizer.codes)):
        assert gradient.abs().sum() > 0
    with torch.no_grad():  # without its noise
        assert_close(quantizer(z).vectors, quantizer.points()[found.indices])
        several = quantizer(z.view(3, 3, D))
        assert_close(several.vectors, quantizer.points()[several.indices])


def test_the_authors_weighting_has_the_sides_swapped() -> None:
    z = latents(9).requires_grad_()
    pulls = []
    for legacy in ("false", "true"):
        torch.manual_seed(0)
        config = QuantizerConfig(name="gradient", options={"legacy": legacy}, commitment=0.25)
        quantizer = make_quantizer(config, V, D)
        pulls.append(torch.autograd.grad(quantizer(z).loss.sum(), (z, quantizer.codes)))
    (latent, code), (latent_legacy, code_legacy) = pulls
    assert_close(latent_legacy, 4 * latent)
    assert_close(4 * code_legacy, code)


# One by one


@torch.no_grad()
def test_a_bridged_table_is_made_once_and_again_when_something_changes() -> None:
    quantizer = of_type(BridgeQuantizer, "bridge")
    assert quantizer.points() is quantizer.points()
    before = quantizer.points()
    with torch.enable_grad():
        assert_close(quantizer.points(), before)
    quantizer.codes += 1
    assert not torch.equal(quantizer.points(), before)


@torch.no_grad()
def test_residual_codes_are_sums_of_the_first_few_levels() -> None:
    quantizer = of_type(ResidualQuantizer, "residual-3").eval()
    codes, points = quantizer.codes, quantizer.points()
    branches = codes.shape[1]
    assert torch.equal(points[:branches], codes[0])
    assert_close(points[branches + branches + 2], codes[0, 1] + codes[1, 2])
    assert_close(points[-1], codes[:, -1].sum(0))
    quantizer.limit(1)
    found = quantizer.candidates(latents(50), 3, besides=torch.full((50, 1), quantizer.size - 1))
    assert (found.indices[found.log_probs.isfinite()] < branches).all()
    assert_close(found.log_probs.exp().sum(-1), torch.ones(50))
    assert (quantizer(latents(50)).indices < branches).all()


def test_nested_dropout_is_for_training_alone() -> None:
    quantizer = make("residual-3")

    def shallow(step: int) -> bool:
        quantizer.begin_step(step, seed=0)
        return bool((quantizer.candidates(latents(30), 1).indices < 3).all())

    with torch.no_grad():
        assert not any(map(shallow, range(30)))
    assert 1 < sum(map(shallow, range(30))) < 15


def test_decorrelation_is_of_the_parts() -> None:
    quantizer, z = of_type(ProductQuantizer, "product"), latents(40)
    first, second = quantizer.project(z).chunk(2, dim=-1)
    expected = F.cosine_similarity(first, second, dim=-1).square().mean()
    assert_close(quantizer.penalty(z), quantizer.decorrelation * expected)


def test_soft_codes_harden() -> None:
    quantizer = of_type(SoftTopKQuantizer, "soft_topk", warmup_steps=100)
    quantizer.begin_step(0, seed=0)
    first = quantizer.continuous(latents(20))
    quantizer.begin_step(99, seed=0)
    last = quantizer.continuous(latents(20))
    nearest = quantizer(latents(20)).vectors
    assert (last - nearest).norm() < (first - nearest).norm()
    assert torch.autograd.grad(last.sum(), quantizer.codes)[0].abs().sum() > 0


@torch.no_grad()
def test_whitened_latents_vary_alike_in_all_directions() -> None:
    quantizer = of_type(WhiteningQuantizer, "whitening")
    z = latents(2_000) * torch.linspace(0.1, 3, D)
    quantizer.start(z, generator())
    assert_close(torch.cov(quantizer.project(z).T), torch.eye(6), atol=1e-3, rtol=1e-3)
    kept = quantizer.continuous(z) - quantizer.expand(quantizer.project(z))
    assert kept.square().mean() < 0.5 * z.square().mean()


def test_gumbel_draws_codes_by_their_probability() -> None:
    quantizer = of_type(GumbelQuantizer, "gumbel", size=3)
    quantizer.log_scale.data.fill_(1.0)  # none of them is nearly sure
    z = latents(1).expand(30_000, D)
    with torch.no_grad():
        expected = quantizer.similarity(quantizer.project(z[:1])).softmax(-1)[0]
    assert expected.min() > 0.05
    quantizer.begin_step(0, seed=0)
    drawn = torch.bincount(quantizer(z).indices, minlength=3) / 30_000
    assert_close(drawn, expected, atol=0.01, rtol=0)
    quantizer.begin_step(10_000, seed=0)
    assert quantizer.temperature == 0.0625
    several = quantizer(latents(20).view(4, 5, D))
    assert_close(several.vectors, quantizer.vectors(several.indices))


def test_gumbel_draws_candidates_that_are_allowed() -> None:
    quantizer, allowed = of_type(GumbelQuantizer, "gumbel"), torch.arange(V) % 3 == 0
    quantizer.begin_step(0, seed=0)
    assert quantizer.exploring
    found = quantizer.candidates(latents(200), 4, allowed)
    assert allowed[found.indices[found.log_probs.isfinite()]].all()
    assert (found.log_probs.isfinite().sum(-1) > 1).any()


def test_gumbel_considers_what_is_asked_for_besides_once() -> None:
    quantizer, besides = of_type(GumbelQuantizer, "gumbel"), torch.arange(200)[:, None] % V
    quantizer.begin_step(0, seed=0)
    found = quantizer.candidates(latents(200), 4, besides=besides)
    for codes, finite, asked in zip(found.indices, found.log_probs.isfinite(), besides[:, 0], strict=True):
        considered = codes[finite].tolist()
        assert considered.count(asked.item()) == 1
        assert len(set(considered)) == len(considered)


def test_the_divergence_is_from_uniform() -> None:
    quantizer, z = of_type(GumbelQuantizer, "gumbel"), latents(40)
    probabilities = quantizer.similarity(quantizer.project(z)).softmax(-1)
    entropies = -(probabilities * probabilities.log()).sum(-1)
    expected = quantizer.options.kl * (torch.tensor(float(V)).log() - entropies).mean()
    assert_close(quantizer.penalty(z), expected)


@pytest.mark.parametrize("size", [1, 4, 25, 600, 5_000, 60_000])
def test_grids_hold_what_is_asked_for_and_little_more(size: int) -> None:
    found = torch.tensor(levels_for(size)).prod().item()
    assert size <= found <= max(2, 1.3 * size)


def test_any_seed_that_a_run_may_have_seeds_the_noise() -> None:
    quantizer = new_model().quantizer
    for seed, noise in ((5, 5_000_018), (2**63 - 1, 2**63 - 1_000_000)):
        quantizer.begin_step(3, seed)
        assert quantizer.noise.initial_seed() == noise
