"""The two losses against plain enumeration of what their formulas say."""

import math
from itertools import product

import pytest
import torch
from learning import QUANTIZERS, TINY, new_model, tilings, vary
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from gqvae.config import ObjectiveConfig
from gqvae.learn import objectives
from gqvae.learn.data import as_tensor
from gqvae.learn.lexicon import Lexicon
from gqvae.learn.model import GQVAE, span_costs
from gqvae.learn.objectives import Gates, Marginal, Outcome, Phase

B, T, K, M, V, PRICE = 2, 4, 3, 2, 20, 1.5
SMALL = vary(TINY, model={"longest_token": K}, quantizer={"candidates": M}, objective={"price": PRICE})
PIECES = ["abca", "zz\x00\xff"]
PRETOKENS = as_tensor(PIECES)
# suffixes of each other, one that would begin before the pretoken, and many codes of one string
STRINGS = (["a", "bca", "ca", "zz", "\x00zz", "ab", "\x00\xff"] + ["b", "z", "?"] * V)[:V]
LEXICON = Lexicon.of(STRINGS, STRINGS, K, torch.device("cpu"))


@pytest.fixture(autouse=True, params=[0, 3])
def filled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With more codes decoded than there are."""
    monkeypatch.setattr(objectives, "to_few_lengths", lambda codes: F.pad(codes, (0, request.param)))


def at(quantized: bool, weight: float | Tensor = 1.0, lexicon: Lexicon | None = None) -> Phase:
    """A phase of training in which no code is pinned."""
    return Phase(quantized, weight, lexicon, None)  # type: ignore[arg-type]


def marginal(quantizer: str = "cosine") -> Marginal:
    return Marginal(new_model(quantizer, codes=V, config=SMALL), SMALL.objective, SMALL.quantizer)


Edge = tuple[int, float, float]
"""A code that may spell a span: code, log weight, cost."""


def edge_table(model: GQVAE, weight: float, strings: list[str]) -> dict[tuple[int, int, int], list[Edge]]:
    """For each row and span: the M nearest codes, then those whose string ends there (the first of each string)."""
    quantizer, codebook = model.quantizer, model.decode_codebook()
    projected = quantizer.project(model.encode(PRETOKENS))
    q = quantizer.similarity(projected.flatten(0, 1)).log_softmax(-1).view(B, T, -1)
    edges: dict[tuple[int, int, int], list[Edge]] = {}
    for b, t in product(range(B), range(T)):
        behind = PIECES[b][: t + 1]
        exact = [code for code, s in enumerate(strings) if behind.endswith(s) and strings.index(s) == code]
        nearest = q[b, t].argsort(descending=True)[:M].tolist()
        for k in range(min(K, t + 1)):
            edges[b, t, k] = []
            for code in dict.fromkeys(nearest + exact):
                spelled = [codebook.characters[code, j, PRETOKENS[b, t - j]].item() for j in range(k + 1)]
                cost = -sum(spelled) - codebook.lengths[code, k].item()
                edges[b, t, k].append((code, q[b, t, code].item() - weight * cost - PRICE, cost))
    return edges


@pytest.mark.parametrize("lexicon", [None, LEXICON], ids=["nearest", "exact too"])
@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_the_marginal_is_a_sum_over_segmentations_and_codes(quantizer: str, lexicon: Lexicon | None) -> None:
    objective, weight = marginal(quantizer), 2.0
    with torch.no_grad():
        outcome = objective(PRETOKENS, at(True, weight, lexicon))
        edges = edge_table(objective.model, weight, lexicon.strings() if lexicon else [])
        nearest = torch.tensor([[edges[b, t, 0][0][0] for t in range(T)] for b in range(B)])
        gates = objective.model.gate(objective.model.quantizer.table()[nearest]).sigmoid()

    log_weights, nats, tokens = 0.0, 0.0, 0.0
    ends, used = torch.zeros(B, T), torch.zeros(V)
    for b in range(B):
        paths = [
            (math.exp(sum(log_weight for _, log_weight, _ in codes)), tiling, codes)
            for tiling in tilings(T, K)
            for codes in product(*(edges[b, *span] for span in tiling))
        ]
        total = sum(weight for weight, _, _ in paths)
        log_weights += math.log(total)
        for path, tiling, codes in paths:
            tokens += path / total * len(tiling) / B
            for (t, _), (code, _, cost) in zip(tiling, codes, strict=True):
                nats += path / total * cost / (B * T)
                ends[b, t] += path / total
                used[code] += path / total

    gating = F.binary_cross_entropy(gates, ends.clamp(0, 1))
    assert_close(outcome.loss, torch.tensor(-log_weights / (B * T)) + gating)
    assert_close(outcome.nats_per_byte, torch.tensor(nats))
    assert_close(outcome.soft_tokens, torch.tensor(tokens))
    assert_close(outcome.gates, gates)
    assert outcome.assigned is not None
    codes, weights = outcome.assigned
    assert_close(torch.zeros(V).index_add_(0, codes.flatten(), weights.flatten()), used)


def test_a_code_that_spells_a_span_is_found_wherever_it_lies() -> None:
    """Without the lexicon, the codes far from every latent get no gradient but that of being pushed away."""
    objective = marginal()
    with torch.no_grad():
        nearest = objective(PRETOKENS, at(True)).assigned[0]
    far = sorted(set(range(V)) - set(nearest.flatten().tolist()))[-1]
    strings = ["bca" if code == far else "?" for code in range(V)]
    lexicon = Lexicon.of(strings, strings, K, torch.device("cpu"))
    codes, shares = objective(PRETOKENS, at(True, 1.0, lexicon)).assigned
    assert (codes == far).nonzero().tolist() == [[3, M + 2]]  # the last byte of "abca", the span of three
    assert shares[3, M + 2] > 0


@pytest.mark.parametrize("quantized", [False, True])
def test_the_gradient_of_the_marginal_weighs_each_cost_by_its_posterior(quantized: bool) -> None:
    """d loss / d (weight of reconstruction) is the expected cost of the spans in use."""
    weight = torch.tensor(2.0, requires_grad=True)
    outcome = marginal()(PRETOKENS, at(quantized, weight))
    (expected,) = torch.autograd.grad(outcome.loss, weight)
    assert_close(expected, outcome.nats_per_byte)


def test_the_gater_learns_from_the_others_and_teaches_them_nothing() -> None:
    """The gater's parameters do not move the loss of encoder, codes and decoder, nor the other way round."""
    objective = marginal()
    model = objective.model
    gater = list(model.gater.parameters())
    outcome = objective(PRETOKENS, at(True))
    learns = torch.autograd.grad(outcome.loss, gater, retain_graph=True)
    assert any(gradient.abs().sum() > 0 for gradient in learns)
    others = [p for name, p in model.named_parameters() if not name.startswith("gater.")]
    before = torch.autograd.grad(outcome.loss, others)
    with torch.no_grad():
        for parameter in gater:
            parameter += torch.randn_like(parameter)
    after = torch.autograd.grad(objective(PRETOKENS, at(True)).loss, others)
    for old, new in zip(before, after, strict=True):
        assert_close(old, new)


def test_the_warm_up_also_spells_what_lies_behind_each_byte() -> None:
    objective = marginal()
    model = objective.model
    with torch.no_grad():
        outcome = objective(PRETOKENS, at(False))
        decoded = model.decode(model.quantizer.continuous(model.encode(PRETOKENS)))
    costs = span_costs(decoded, PRETOKENS)
    loss = 0.0
    for b in range(B):
        loss -= math.log(sum(math.exp(-sum(costs[b, *s].item() + PRICE for s in tiling)) for tiling in tilings(T, K)))
        for t, k in product(range(T), range(K)):
            if k <= t:
                loss -= math.exp(-k / 4) * decoded.characters[b, t, k, PRETOKENS[b, t - k]].item()
    gating = outcome.loss - loss / (B * T)
    assert outcome.assigned is None
    assert 0 < gating < 2  # a cross-entropy of T near-even guesses


# The paper's gates


def gates_loss(model: GQVAE, settings: ObjectiveConfig, distances: Tensor, vectors: Tensor) -> float:
    """The paper's formula in loops, without a forced gate inside (T <= K)."""
    gates, decoded = model.gate(vectors).sigmoid().tolist(), model.decode(vectors)
    longest = model.longest
    reconstruction = length = 0.0
    for b, t, k in product(range(B), range(T), range(longest)):
        mask = math.prod(1 - gates[b][t - j] for j in range(1, k + 1)) if k <= t else 0.0
        if k <= t:
            reconstruction -= mask * decoded.characters[b, t, k, PRETOKENS[b, t - k]].item()
        p = decoded.lengths[b, t].exp()[k:].sum().item()
        p = min(max(p, 1e-6), 1 - 1e-6)
        gate = gates[b][t] if t + 1 < T else 1.0
        length -= gate * (mask * math.log(p) + (1 - mask) * math.log(1 - p))
    rate = sum(map(sum, gates)) / (B * T)
    if settings.target_rate is None:
        price = settings.alpha * rate
    else:
        price = settings.rate_weight * (rate - settings.target_rate) ** 2
    size = B * T * longest
    return reconstruction / size + price + settings.length_weight * length / size + distances.mean().item()


@pytest.mark.parametrize("quantizer", QUANTIZERS)
@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize("target_rate", [None, 0.3])
@torch.no_grad()
def test_the_gates_objective_is_the_papers(quantizer: str, quantized: bool, target_rate: float | None) -> None:
    config = vary(SMALL, model={"longest_token": T + 1}, objective={"name": "gates", "target_rate": target_rate})
    model = new_model(quantizer, config=config)
    outcome = Gates(model, config.objective, config.quantizer)(PRETOKENS, at(quantized))
    latents = model.encode(PRETOKENS)
    if quantized:
        snapped = model.quantizer(latents)
        vectors, distances = snapped.vectors, snapped.loss
    else:
        vectors, distances = model.quantizer.continuous(latents), torch.zeros(())
    assert outcome.loss.item() == pytest.approx(gates_loss(model, config.objective, distances, vectors), rel=1e-4)
    gates = model.gate(vectors).sigmoid()
    assert outcome.soft_tokens.item() == pytest.approx((gates[:, :-1].sum() / B + 1).item(), rel=1e-4)


# Both


@pytest.mark.parametrize("objective", [Marginal, Gates])
@pytest.mark.parametrize("quantized", [False, True])
def test_only_the_loss_has_a_gradient(objective: type[Marginal] | type[Gates], quantized: bool) -> None:
    model = new_model(config=SMALL)
    outcome: Outcome = objective(model, SMALL.objective, SMALL.quantizer)(PRETOKENS, at(quantized))
    assert outcome.loss.requires_grad
    others = [outcome.nats_per_byte, outcome.soft_tokens, outcome.gates, outcome.latents, outcome.errors]
    assert not any(tensor.requires_grad for tensor in [*others, *(outcome.assigned or ())])
    assert outcome.latents.shape == (B * T, TINY.model.width)
    assert outcome.errors.shape == (B * T,)
    assert outcome.gates.shape == (B, T)


@pytest.mark.parametrize("quantizer", QUANTIZERS)
@pytest.mark.parametrize("objective", [Marginal, Gates])
def test_a_step_reaches_every_part_of_the_network(objective: type[Marginal] | type[Gates], quantizer: str) -> None:
    model = new_model(quantizer, config=SMALL)
    objective(model, SMALL.objective, SMALL.quantizer)(PRETOKENS, at(True)).loss.backward()
    idle = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum()}
    # only the marginal reads the temperature; the bias of keys has no effect in any attention
    assert {name for name in idle if not name.endswith("project_in.bias")} <= {"quantizer.log_scale"}


# What the codes stand for


@torch.no_grad()
def test_pinned_codes_add_what_their_strings_cost() -> None:
    objective = marginal()
    pinned = torch.tensor([3, 7, 1])
    without, held = (objective(PRETOKENS, Phase(True, 1.0, LEXICON, codes)).loss for codes in (None, pinned))
    theirs = objective.model.decode(objective.model.quantizer.vectors(pinned))
    assert_close(held - without, LEXICON.spelling_cost(theirs, pinned))


@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_a_step_with_a_lexicon_has_a_finite_gradient_everywhere(quantizer: str) -> None:
    """Most places have no code besides: their log-probability is minus infinity."""
    objective = marginal(quantizer)
    objective(PRETOKENS, Phase(True, 1.0, LEXICON, torch.tensor([3]))).loss.backward()
    gradients = [p.grad for p in objective.model.parameters() if p.grad is not None]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
