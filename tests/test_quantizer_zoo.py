"""What every quantizer must do, whatever makes its codes: one table, by which all else goes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from learning import TINY, vary, write_corpus
from quantizing import PATHS, VARIANTS, D, V, every, generator, latents, make
from torch.nn import functional as F
from torch.testing import assert_close

from gqvae.corpus import Corpus
from gqvae.learn.distill import distill
from gqvae.learn.quantizers.fsq import FiniteScalarQuantizer
from gqvae.learn.quantizers.kmeans import kmeans
from gqvae.learn.quantizers.lookup_free import LookupFreeQuantizer
from gqvae.learn.quantizers.whitening import WhiteningQuantizer
from gqvae.learn.training import train
from gqvae.names import load

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
