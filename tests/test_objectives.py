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
from gqvae.learn.model import GQVAE, Decoded, span_costs
from gqvae.learn.objectives import Gates, Marginal, Outcome, Phase, Pins

B, T, K, M, PRICE = 2, 4, 3, 2, 1.5
SMALL = vary(TINY, model={"longest_token": K}, quantizer={"candidates": M}, objective={"price": PRICE})
PRETOKENS = torch.tensor([list(b"abca"), list(b"zz\x00\xff")])


def marginal(quantizer: str = "cosine") -> Marginal:
    return Marginal(new_model(quantizer, config=SMALL), SMALL.objective, SMALL.quantizer)


def edge_table(model: GQVAE, weight: float) -> tuple[dict[tuple[int, int, int], list[tuple[float, float]]], Tensor]:
    """For each row and span, (log weight, cost) of each of the M nearest codes; and those codes (B, T, M)."""
    quantizer, codebook = model.quantizer, model.decode_codebook()
    projected = quantizer.project(model.encode(PRETOKENS))
    q = quantizer.similarity(projected.flatten(0, 1)).log_softmax(-1).view(B, T, -1)
    nearest = q.argsort(-1, descending=True)[..., :M]
    edges = {}
    for b, t, k in product(range(B), range(T), range(K)):
        if k > t:
            continue
        edges[b, t, k] = []
        for code in nearest[b, t].tolist():
            spelled = [codebook.characters[code, j, PRETOKENS[b, t - j]].item() for j in range(k + 1)]
            cost = -sum(spelled) - codebook.lengths[code, k].item()
            edges[b, t, k].append((q[b, t, code].item() - weight * cost - PRICE, cost))
    return edges, nearest


@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_the_marginal_is_a_sum_over_segmentations_and_codes(quantizer: str) -> None:
    objective, weight = marginal(quantizer), 2.0
    with torch.no_grad():
        outcome = objective(PRETOKENS, Phase(True, weight, None))
        edges, nearest = edge_table(objective.model, weight)
        vectors = objective.model.quantizer.table()[nearest[..., 0]]
        gates = objective.model.gate(vectors).sigmoid()

    log_weights, nats, tokens = 0.0, 0.0, 0.0
    ends, used = torch.zeros(B, T), torch.zeros(20)
    for b in range(B):
        paths = [
            (math.exp(sum(edges[b, *span][m][0] for span, m in zip(tiling, codes, strict=True))), tiling, codes)
            for tiling in tilings(T, K)
            for codes in product(range(M), repeat=len(tiling))
        ]
        total = sum(weight for weight, _, _ in paths)
        log_weights += math.log(total)
        for path, tiling, codes in paths:
            tokens += path / total * len(tiling) / B
            for (t, k), m in zip(tiling, codes, strict=True):
                nats += path / total * edges[b, t, k][m][1] / (B * T)
                ends[b, t] += path / total
                used[nearest[b, t, m]] += path / total

    gating = F.binary_cross_entropy(gates, ends.clamp(0, 1))
    assert_close(outcome.loss, torch.tensor(-log_weights / (B * T)) + gating)
    assert_close(outcome.nats_per_byte, torch.tensor(nats))
    assert_close(outcome.soft_tokens, torch.tensor(tokens))
    assert_close(outcome.gates, gates)
    codes, weights = outcome.assigned
    assert_close(torch.zeros(20).index_add_(0, codes.flatten(), weights.flatten()), used)


@pytest.mark.parametrize("quantized", [False, True])
def test_the_gradient_of_the_marginal_weighs_each_cost_by_its_posterior(quantized: bool) -> None:
    """d loss / d (weight of reconstruction) is the expected cost of the spans in use."""
    weight = torch.tensor(2.0, requires_grad=True)
    outcome = marginal()(PRETOKENS, Phase(quantized, weight, None))
    (expected,) = torch.autograd.grad(outcome.loss, weight)
    assert_close(expected, outcome.nats_per_byte)


def test_the_gater_learns_from_the_others_and_teaches_them_nothing() -> None:
    """The gater's parameters do not move the loss of encoder, codes and decoder, nor the other way round."""
    objective = marginal()
    model = objective.model
    gater = list(model.gater.parameters())
    outcome = objective(PRETOKENS, Phase(True, 1.0, None))
    learns = torch.autograd.grad(outcome.loss, gater, retain_graph=True)
    assert any(gradient.abs().sum() > 0 for gradient in learns)
    others = [p for name, p in model.named_parameters() if not name.startswith("gater.")]
    before = torch.autograd.grad(outcome.loss, others)
    with torch.no_grad():
        for parameter in gater:
            parameter += torch.randn_like(parameter)
    after = torch.autograd.grad(objective(PRETOKENS, Phase(True, 1.0, None)).loss, others)
    for old, new in zip(before, after, strict=True):
        assert_close(old, new)


def test_the_warm_up_also_spells_what_lies_behind_each_byte() -> None:
    objective = marginal()
    model = objective.model
    with torch.no_grad():
        outcome = objective(PRETOKENS, Phase(False, 1.0, None))
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
    outcome = Gates(model, config.objective, config.quantizer)(PRETOKENS, Phase(quantized, 1.0, None))
    latents = model.encode(PRETOKENS)
    if quantized:
        snapped = model.quantizer(latents)
        vectors, distances = snapped.vectors, snapped.loss
    else:
        vectors, distances = model.quantizer.continuous(latents), torch.zeros(())
    assert outcome.loss.item() == pytest.approx(gates_loss(model, config.objective, distances, vectors), rel=1e-4)


# Both


@pytest.mark.parametrize("objective", [Marginal, Gates])
@pytest.mark.parametrize("quantized", [False, True])
def test_only_the_loss_has_a_gradient(objective: type[Marginal] | type[Gates], quantized: bool) -> None:
    model = new_model(config=SMALL)
    outcome: Outcome = objective(model, SMALL.objective, SMALL.quantizer)(PRETOKENS, Phase(quantized, 1.0, None))
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
    objective(model, SMALL.objective, SMALL.quantizer)(PRETOKENS, Phase(True, 1.0, None)).loss.backward()
    idle = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum()}
    # only the marginal reads the temperature; the bias of keys has no effect in any attention
    assert {name for name in idle if not name.endswith("project_in.bias")} <= {"quantizer.log_scale"}


# Pins


def test_pins_cost_what_the_decoder_needs_for_their_strings() -> None:
    def likelihoods(*rows: dict[int, float]) -> Tensor:
        table = torch.full((len(rows), 256), 1e-9)
        for row, given in zip(table, rows, strict=True):
            for byte, probability in given.items():
                row[byte] = probability
        return table.log()

    codebook = Decoded(
        torch.stack([likelihoods({98: 0.5}, {97: 0.25}, {}), likelihoods({99: 0.125}, {}, {})]),
        torch.tensor([[0.1, 0.8, 0.1], [0.5, 0.25, 0.25]]).log(),
    )
    both = Pins(torch.tensor([0, 1]), torch.tensor([[98, 97, 0], [99, 0, 0]]), torch.tensor([2, 1]))
    ab, c = -math.log(0.5 * 0.25 * 0.8), -math.log(0.125 * 0.5)
    assert_close(both.cost(codebook, both.rows), torch.tensor((ab + c) / 2))


@torch.no_grad()
def test_pins_add_to_the_marginal() -> None:
    objective = marginal()
    pins = Pins(torch.tensor([3]), torch.tensor([[98, 97, 0]]), torch.tensor([2]))
    extra = objective(PRETOKENS, Phase(True, 1.0, pins)).loss - objective(PRETOKENS, Phase(True, 1.0, None)).loss
    assert_close(extra, pins.cost(objective.model.decode_codebook(), pins.rows))
