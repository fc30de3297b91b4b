"""The network: shapes, and what each part can and cannot see."""

from itertools import product

import pytest
import torch
from jaxtyping import Float, Int, jaxtyped
from learning import TINY, new_model
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from gqvae.learn.model import GQVAE, Convolution, Decoded, attend, candidate_span_costs, span_costs

K = TINY.model.longest_token


@pytest.fixture
def model() -> GQVAE:
    return new_model()


def random_pretokens(batch: int, length: int) -> Tensor:
    return torch.randint(256, (batch, length), generator=torch.Generator().manual_seed(batch * length))


@pytest.mark.parametrize(("batch", "length"), [(1, 1), (3, 5), (2, TINY.pretokens.window)])
@pytest.mark.parametrize("quantizer", ["cosine", "ema", "gradient"])
@torch.no_grad()
def test_shapes(quantizer: str, batch: int, length: int) -> None:
    model = new_model(quantizer)
    pretokens = random_pretokens(batch, length)
    latents = model.encode(pretokens)
    snapped = model.quantizer(latents)
    decoded, codebook = model.decode(snapped.vectors), model.decode_codebook()
    candidates = model.quantizer.candidates(latents, 4)
    with jaxtyped("context"):  # type: ignore[no-untyped-call]
        assert isinstance(pretokens, Int[Tensor, "B T"])
        assert isinstance(latents, Float[Tensor, "B T D"])
        assert isinstance(snapped.vectors, Float[Tensor, "B T D"])
        assert isinstance(snapped.indices, Int[Tensor, "B T"])
        assert isinstance(snapped.loss, Float[Tensor, "B T"])
        assert isinstance(model.gate(snapped.vectors), Float[Tensor, "B T"])
        assert isinstance(decoded.characters, Float[Tensor, "B T K 256"])
        assert isinstance(decoded.lengths, Float[Tensor, "B T K"])
        assert isinstance(codebook.characters, Float[Tensor, "V K 256"])
        assert isinstance(codebook.lengths, Float[Tensor, "V K"])
        assert isinstance(candidates.log_probs, Float[Tensor, "B T M"])
        assert isinstance(candidates.indices, Int[Tensor, "B T M"])
        assert isinstance(span_costs(decoded, pretokens), Float[Tensor, "B T K"])
        near = model.decode(snapped.vectors, slots=3)
        assert_close(near.characters, decoded.characters[:, :, :3])
        assert_close(near.lengths, decoded.lengths)
        reach = min(K, pretokens.shape[1])
        costs = candidate_span_costs(codebook, candidates.indices, pretokens)
        assert isinstance(costs, Float[Tensor, "B T M reach"])
        assert costs.shape[-1] == reach


@torch.no_grad()
def test_the_decoder_sees_one_vector_and_no_neighbour(model: GQVAE) -> None:
    """This is what makes a code one fixed string."""
    vectors = torch.randn(2, 6, TINY.model.width)
    others = torch.randn_like(vectors)
    others[1, 3] = vectors[1, 3]
    for part in ("characters", "lengths"):
        together = getattr(model.decode(vectors), part)[1, 3]
        assert torch.equal(together, getattr(model.decode(others), part)[1, 3])
        assert_close(together, getattr(model.decode(vectors[1, 3]), part))


@torch.no_grad()
def test_the_encoder_tells_left_from_right(model: GQVAE) -> None:
    """Symmetric ALiBi commutes with reversal (a difference of 6e-7); directional positions do not."""
    pretokens = random_pretokens(4, 7)
    mirrored = model.encode(pretokens.flip(1)).flip(1)
    assert (mirrored - model.encode(pretokens)).abs().mean() > 0.1


@torch.no_grad()
def test_the_encoder_tells_equal_bytes_apart(model: GQVAE) -> None:
    (latents,) = model.encode(torch.full((1, 6), ord("a")))
    assert torch.cdist(latents, latents)[~torch.eye(6, dtype=torch.bool)].min() > 0.1


@torch.no_grad()
def test_the_encoder_looks_both_ways_and_at_its_own_pretoken_alone(model: GQVAE) -> None:
    pretokens = random_pretokens(2, 5)
    changed = pretokens.clone()
    changed[0, 2] = (changed[0, 2] + 1) % 256
    moved = (model.encode(changed) - model.encode(pretokens)).abs().amax(-1)
    assert (moved[0] > 1e-3).all()
    assert (moved[1] == 0).all()
    assert_close(model.encode(pretokens[1:]), model.encode(pretokens)[1:])


@torch.no_grad()
def test_the_decoder_gives_log_probabilities(model: GQVAE) -> None:
    decoded = model.decode_codebook()
    assert_close(decoded.characters.exp().sum(-1), torch.ones(20, K))
    assert_close(decoded.lengths.exp().sum(-1), torch.ones(20))


def test_strings_are_read_from_the_end() -> None:
    def certain(*classes: int, of: int) -> Tensor:
        return torch.eye(of)[list(classes)].log()

    characters = torch.stack([certain(*b"wohs", of=256), certain(*b"\x00\xffxx", of=256)])
    assert Decoded(characters, certain(3, 1, of=4)).strings() == ["show", "\xff\x00"]
    of_tokens = certain(300, 511, of=512)[None]
    assert Decoded(of_tokens, certain(1, of=2)).strings() == ["\u01ff\u012c"]


@torch.no_grad()
def test_span_costs_are_sums_over_the_characters_and_the_length(model: GQVAE) -> None:
    pretokens = random_pretokens(2, 5)
    decoded = model.decode(model.encode(pretokens))
    costs = span_costs(decoded, pretokens)
    for row, t, k in product(range(2), range(5), range(K)):
        if k <= t:
            spelling = sum(decoded.characters[row, t, j, pretokens[row, t - j]] for j in range(k + 1))
            assert_close(costs[row, t, k], -spelling - decoded.lengths[row, t, k])


@torch.no_grad()
def test_candidates_cost_what_their_codes_cost(model: GQVAE) -> None:
    pretokens, codebook = random_pretokens(3, 6), model.decode_codebook()
    candidates = torch.randint(20, (3, 6, 4))
    costs = candidate_span_costs(codebook, candidates, pretokens)
    for number in range(4):
        one = candidates[..., number]
        chosen = Decoded(codebook.characters[one], codebook.lengths[one])
        assert_close(costs[:, :, number], span_costs(chosen, pretokens)[..., : costs.shape[-1]])


@pytest.mark.parametrize("length", [1, 2, 9, 40])
def test_attention_is_that_of_torch(length: int) -> None:
    generator = torch.Generator().manual_seed(length)
    tensors = [torch.randn(5, 2, length, 8, generator=generator).requires_grad_() for _ in range(3)]
    ours, theirs = attend(*tensors), F.scaled_dot_product_attention(*tensors)
    assert_close(ours, theirs)
    pull = torch.randn(ours.shape, generator=generator)
    assert_close(torch.autograd.grad(ours, tensors, pull), torch.autograd.grad(theirs, tensors, pull))


@pytest.mark.parametrize("width", [1, 3, 9])
@pytest.mark.parametrize("length", [1, 2, 4, 7, 12])
def test_a_convolution_is_that_of_torch(width: int, length: int) -> None:
    """Without the taps that read zeros alone."""
    torch.manual_seed(0)
    ours = Convolution(3, 2, width)
    theirs = torch.nn.Conv1d(3, 2, width, padding="same")
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(4, 3, length)
    for module in (ours, theirs):
        module(x).square().sum().backward()
    assert_close(ours(x), theirs(x))
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_gater_reads_the_vectors_around_a_byte(model: GQVAE) -> None:
    vectors = torch.randn(1, 6, TINY.model.width)
    changed = vectors.clone()
    changed[0, 5] = torch.randn(TINY.model.width)  # a constant added would fall to the normalisation
    assert (model.gate(changed) != model.gate(vectors)).all()
