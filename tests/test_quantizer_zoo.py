"""What every quantizer must do, whatever makes its codes: one table, by which all else goes."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from learning import TINY, vary, write_corpus
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from gqvae.cli import main
from gqvae.config import Config, QuantizerConfig
from gqvae.corpus import Corpus
from gqvae.errors import GqvaeError
from gqvae.learn.distill import distill
from gqvae.learn.quantizers import Quantizer, make_quantizer, registry
from gqvae.learn.quantizers.base import LARGEST
from gqvae.learn.quantizers.bridge import BridgeQuantizer
from gqvae.learn.quantizers.fsq import FiniteScalarQuantizer, levels_for
from gqvae.learn.quantizers.gumbel import GumbelQuantizer
from gqvae.learn.quantizers.kmeans import kmeans
from gqvae.learn.quantizers.lookup_free import LookupFreeQuantizer
from gqvae.learn.quantizers.product import ProductQuantizer
from gqvae.learn.quantizers.residual import ResidualQuantizer
from gqvae.learn.quantizers.soft_topk import SoftTopKQuantizer
from gqvae.learn.quantizers.whitening import WhiteningQuantizer
from gqvae.learn.training import train
from gqvae.tokenizer import load

V, D = 30, 16
SMALL: dict[str, dict[str, str]] = {"bridge": {"patch": "4", "width": "16", "heads": "2"}}
VARIANTS: dict[str, tuple[str, dict[str, str]]] = {
    **{name: (name, SMALL.get(name, {})) for name in registry.OURS},
    "wetok": ("lookup_free", {"groups": "2"}),
    "residual-3": ("residual", {"depth": "3", "dropout": "0.5"}),
    "product-3": ("product", {"groups": "3"}),
}
PATHS = {path: ("gradient", {"path": path}) for path in ("straight", "rotation", "diveq")}
every = pytest.mark.parametrize("variant", VARIANTS)


def make(variant: str, size: int = V, seed: int = 0, **settings: Any) -> Quantizer:
    torch.manual_seed(seed)
    name, options = (VARIANTS | PATHS)[variant]
    return make_quantizer(QuantizerConfig(name=name, options=options, code_width=6, **settings), size, D)


def of_type(kind: type[Any], variant: str, **settings: Any) -> Any:
    found = make(variant, **settings)
    assert isinstance(found, kind)
    return found


def latents(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, D, generator=torch.Generator().manual_seed(seed))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


# The table


@every
@pytest.mark.parametrize("size", [1, 2, V, 500])
@torch.no_grad()
def test_the_table_is_what_the_codes_are(variant: str, size: int) -> None:
    """One code only, and more than there is data, too."""
    quantizer = make(variant, size).eval()
    points, table = quantizer.points(), quantizer.table()
    assert len(points) == len(table) == quantizer.size >= size
    assert table.shape[1] == D
    assert_close(quantizer.vectors(torch.arange(quantizer.size)), table)
    snapped = quantizer(latents(5))
    assert_close(snapped.vectors, table[snapped.indices])
    assert torch.equal(quantizer.candidates(latents(5), 3).indices[:, 0], snapped.indices)


@every
@torch.no_grad()
def test_the_nearest_of_a_code_is_itself(variant: str) -> None:
    quantizer = make(variant).eval()
    points = quantizer.points()
    if (
        not isinstance(quantizer, FiniteScalarQuantizer | LookupFreeQuantizer | WhiteningQuantizer)
        and variant != "gradient"
    ):
        points = F.normalize(points, dim=-1)
    assert torch.equal(quantizer.similarity(points).argmax(1), torch.arange(quantizer.size))


@every
@torch.no_grad()
def test_empty_batches(variant: str) -> None:
    quantizer = make(variant)
    for shape in ((0,), (0, 4), (2, 0)):
        assert quantizer(latents(*shape)).vectors.shape == (*shape, D)
        assert quantizer.candidates(latents(*shape), 3).indices.shape[:-1] == shape
        assert quantizer.continuous(latents(*shape)).shape == (*shape, D)
    with torch.enable_grad():
        assert quantizer.penalty(latents(0, 4)).item() == 0
        assert quantizer(latents(0, 4)).vectors.shape == (0, 4, D)


@pytest.mark.parametrize("variant", [*VARIANTS, *PATHS])
def test_a_gradient_reaches_the_latents(variant: str) -> None:
    quantizer, z = make(variant), latents(7).requires_grad_()
    quantizer.begin_step(20, seed=0)
    (gradient,) = torch.autograd.grad((quantizer(z).vectors * latents(7, seed=2)).sum(), z)
    assert gradient.isfinite().all()
    assert (gradient.abs().sum(-1) > 0).all()


@pytest.mark.parametrize("variant", [v for v in VARIANTS if v != "gumbel"])
def test_the_gradient_is_that_of_the_projections_alone(variant: str) -> None:
    """Straight through: as if the code were the latent plus a constant."""
    quantizer, z = make(variant), latents(7).requires_grad_()
    quantizer.begin_step(20, seed=0)
    pull = latents(7, seed=2)
    (ours,) = torch.autograd.grad((quantizer(z).vectors * pull).sum(), z)
    quantizer.begin_step(20, seed=0)
    with torch.no_grad():
        indices = quantizer(z).indices
        quantizer.begin_step(20, seed=0)
        step = quantizer.points()[quantizer(z).indices] - quantizer.project(z)
    (plain,) = torch.autograd.grad((quantizer.expand(quantizer.project(z) + step) * pull).sum(), z)
    assert indices.shape == (7,)
    assert_close(ours, plain)


@every
def test_every_parameter_learns(variant: str) -> None:
    """From the softmax over candidates, the decoder's side, the penalty and warm-up together."""
    quantizer, z = make(variant), latents(50)
    quantizer.begin_step(0, seed=0)
    total = quantizer.continuous(z).square().sum() + quantizer.penalty(z) + quantizer(z).loss.sum()
    found = quantizer.candidates(z, 4)
    total = total + found.log_probs[found.log_probs.isfinite()].sum() + quantizer.vectors(found.indices).sum()
    total.backward()  # type: ignore[no-untyped-call]
    for name, parameter in quantizer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@every
@torch.no_grad()
def test_half_precision_of_the_encoder(variant: str) -> None:
    quantizer, z = make(variant).eval(), latents(200)
    whole = quantizer.candidates(z, 4)
    with torch.autocast("cpu", torch.bfloat16):
        half = quantizer.candidates(z.bfloat16(), 4)
        vectors = quantizer(z.bfloat16()).vectors
    assert (half.indices[:, 0] == whole.indices[:, 0]).float().mean() > 0.85
    assert vectors.isfinite().all()
    assert half.log_probs.isfinite().all()


@every
def test_the_state_is_all_there_is(variant: str) -> None:
    """A step depends on the state, its number and the seed, and on nothing else."""
    quantizer, copy, z = make(variant), make(variant, seed=5), latents(40)
    quantizer.begin_step(20, seed=0)
    quantizer.start(z, generator())
    quantizer.assign(z, quantizer(z).indices[:, None], torch.rand(40, 1))
    copy.load_state_dict(quantizer.state_dict())
    outcomes = []
    for each in (quantizer, copy):
        torch.manual_seed(len(outcomes))
        each.begin_step(31, seed=3)
        found = each.candidates(z, 5)
        outcomes.append((found.indices, found.log_probs, each(z).vectors, each.penalty(z), each.continuous(z)))
    for one, other in zip(*outcomes, strict=True):
        assert torch.equal(one, other)


# Where codes begin


@every
@pytest.mark.parametrize("start", ["latents", "kmeans"])
@pytest.mark.parametrize("count", [1, 3, 400])
@torch.no_grad()
def test_codes_begin_among_the_latents(variant: str, start: str, count: int) -> None:
    quantizer, z = make(variant, start=start), latents(count)
    before = quantizer(z).loss.mean()
    quantizer.start(z, generator())
    assert quantizer.table().isfinite().all()
    if quantizer.movable and variant not in ("soft_topk", "gumbel", "whitening"):
        assert quantizer(z).loss.mean() < before


def test_kmeans_finds_clusters() -> None:
    corners = torch.tensor([[0.0, 0.0], [0.0, 9.0], [9.0, 0.0]])
    points = corners.repeat_interleave(20, 0) + 0.1 * torch.randn(60, 2, generator=generator())
    nearest = torch.cdist(kmeans(points, 8, generator()), corners).min(1).values
    assert (nearest < 0.4).all()
    assert len(kmeans(points[:1].repeat(5, 1), 3, generator())) == 1
    assert len(kmeans(points[:0], 3, generator())) == 0


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
    z = latents(1).expand(3_000, D)
    with torch.no_grad():
        expected = quantizer.similarity(quantizer.project(z[:1])).softmax(-1)[0]
    quantizer.begin_step(0, seed=0)
    drawn = torch.bincount(quantizer(z).indices, minlength=3) / 3_000
    assert_close(drawn, expected, atol=0.04, rtol=0)
    quantizer.begin_step(10_000, seed=0)
    assert quantizer.temperature == 0.0625


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


# Names, options, and what does not go together


def test_the_list_says_what_each_is() -> None:
    lines = registry.listing().splitlines()
    assert [line.split()[0] for line in lines] == registry.names()
    assert all(re.match(r"\w+ +\w.{20,}\.$", line) for line in lines), lines


def test_the_command_lists_them_without_further_ado(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["train", "--quantizer", "help"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == registry.listing() + "\n"


def test_options_take_their_types_and_survive_json() -> None:
    config = TINY.override(["quantizer.name=fsq", "quantizer.options.levels=8,6,5"])
    again = Config.from_dict(config.to_dict())
    assert again == config
    assert registry.options_of(again.quantizer).levels == (8, 6, 5)
    assert config.difference(TINY.override(["quantizer.name=fsq"])) == "quantizer.options.levels: 8,6,5, not not set"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["quantizer.name=magic"], "unknown quantizer 'magic'; there are: cosine, ema, gradient"),
        (["quantizer.options.colour=1"], r"unknown key quantizer\.options\.colour; there are: none"),
        (["quantizer.name=fsq", "quantizer.options.level=1"], "there are: levels"),
        (["quantizer.name=fsq", "quantizer.options.levels=8,x"], r"quantizer\.options\.levels"),
        (["quantizer.name=fsq", "quantizer.options.levels=1,9"], "2 or more"),
        (["quantizer.name=fsq", "quantizer.revival=reservoir"], "those of fsq do not move by themselves"),
        (["quantizer.name=gradient", "quantizer.options.path=rotation"], r"no effect without objective\.name=gates"),
        (["quantizer.name=gradient", "quantizer.options.path=bent"], "straight, rotation, diveq"),
        (["quantizer.name=ema", "quantizer.options.decay=1.5"], "between 0 and 1"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_counted(
    settings: list[str], message: str, corpus: Corpus, tmp_path: Path
) -> None:
    with pytest.raises(GqvaeError, match=message):
        train(TINY.override(settings), corpus, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_table_may_be_too_large() -> None:
    for name in ("cosine", "fsq", "lookup_free", "residual", "product"):
        with pytest.raises(GqvaeError, match="codes"):
            make_quantizer(QuantizerConfig(name=name), LARGEST + 1, D)
    with pytest.raises(GqvaeError, match="make 25 codes, fewer than 30"):
        make_quantizer(QuantizerConfig(name="fsq", options={"levels": "5,5"}), V, D)
    with pytest.raises(GqvaeError, match="multiple of its groups"):
        make_quantizer(QuantizerConfig(name="product", options={"groups": "5"}), V, D)


# From text to a tokenizer

SHORT = vary(
    replace(TINY, vocab_size=300),
    training={"steps": 10, "log_every": 10, "sample_pretokens": 100},
    quantizer={"warmup_steps": 4, "revive_every": 3},
)


@pytest.fixture(scope="module")
def little(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return write_corpus(tmp_path_factory.mktemp("little") / "text.jsonl", documents=12, characters=500)


@pytest.mark.parametrize(
    ("objective", "variant"), [*(("marginal", v) for v in VARIANTS), ("gates", "rotation"), ("gates", "gumbel")]
)
def test_each_trains_and_distills_to_a_lossless_tokenizer(
    objective: str, variant: str, little: Corpus, tmp_path: Path
) -> None:
    name, options = (VARIANTS | PATHS)[variant]
    config = vary(SHORT, quantizer={"name": name, "options": options}, objective={"name": objective})
    run = train(config, little, tmp_path / "run")
    report = distill(run.folder, tmp_path / "tokenizer")
    assert report["codebook"]["codes"] >= run.codes()
    tokenizer = load(tmp_path / "tokenizer")
    assert tokenizer.vocab_size == SHORT.vocab_size
    for text in ("", "the function returns a \x00 list of naïve things 😀\n\n", "x" * 500):
        assert tokenizer.decode(tokenizer.encode(text)) == text
