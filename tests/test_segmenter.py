"""The network as a segmenter: tokens that tile each pretoken, at the least cost, and how they are measured."""

import pytest
import torch
from learning import LONGEST, MODES
from torch.testing import assert_close

from gqvae.learn.data import Sample, as_tensor
from gqvae.learn.model import candidate_span_costs
from gqvae.learn.run import Run
from gqvae.learn.segmenter import Measures, Mode, NeuralSegmenter, Segmented, encode
from gqvae.vocabulary import Vocabulary


@pytest.mark.parametrize("mode", MODES)
def test_segmentations_tile(mode: Mode, trained: Run) -> None:
    segmenter = trained.segmenter(mode, trained.trained_model())
    pieces = trained.table.pieces[:200]
    for piece, result in zip(pieces, segmenter.segment(pieces), strict=True):
        spans = result.spans(piece)
        assert "".join(spans) == piece
        assert all(1 <= len(span) <= LONGEST for span in spans)
        assert len(result.codes) == len(spans)


def test_encoding_gives_the_latents_of_each_piece_in_order(trained: Run) -> None:
    model, pieces = trained.trained_model(), trained.table.pieces[:50]
    for piece, latents in zip(pieces, encode(model, pieces), strict=True):
        assert_close(latents, model.encode(torch.tensor([list(map(ord, piece))]))[0].detach())


@pytest.mark.parametrize("mode", MODES)
def test_only_codes_of_the_vocabulary_are_emitted(mode: Mode, trained: Run) -> None:
    model = trained.trained_model()
    few = Vocabulary((b" the", b"ing", b" is"))
    segmenter = trained.segmenter(mode, model, few)
    for result in segmenter.segment(trained.table.pieces[:200]):
        assert all(segmenter.strings[code].encode("latin-1") in few.id_of for code in result.codes)


def test_viterbi_costs_no_more_than_the_gates(trained: Run) -> None:
    """Both segmentations under the same price of tokens and spelling: the search finds the least."""
    model = trained.trained_model()
    pieces = trained.table.pieces[:100]
    latents = dict(zip(pieces, encode(model, pieces), strict=True))

    def cost(segmenter: NeuralSegmenter, piece: str, result: Segmented) -> float:
        total, q = 0.0, model.quantizer.similarity(model.quantizer.project(latents[piece])).log_softmax(-1)
        for end, code, span in zip(result.ends, result.codes, result.spans(piece), strict=True):
            spelled = [segmenter.codebook.characters[code, k, ord(s)].item() for k, s in enumerate(span[::-1])]
            nats = -sum(spelled) - segmenter.codebook.lengths[code, len(span) - 1].item()
            total += segmenter.weight * nats + segmenter.price - q[end - 1, code].item()
        return total

    costs = {}
    for mode in MODES:
        segmenter = trained.segmenter(mode, model)
        results = segmenter.segment(pieces)
        costs[mode] = [cost(segmenter, piece, result) for piece, result in zip(pieces, results, strict=True)]
    assert all(best <= other + 1e-3 for best, other in zip(costs["viterbi"], costs["gates"], strict=True))


@torch.no_grad()
def test_the_code_that_spells_a_span_is_considered_wherever_it_lies(trained: Run) -> None:
    """Where tokens are dear, each string of a code is one token; the nearest code seldom is the best for it."""
    model, weight = trained.trained_model(), 6.0
    segmenter = NeuralSegmenter(model, mode="viterbi", price=1e6, weight=weight, candidates=1)
    pieces = sorted(set(segmenter.strings))
    codes = [result.codes for result in segmenter.segment(pieces)]
    others = 0
    for piece, found in zip(pieces, codes, strict=True):
        pretoken = as_tensor([piece])
        latent = model.encode(pretoken)[0, -1]
        log_q = model.quantizer.similarity(model.quantizer.project(latent[None]))[0].log_softmax(-1)
        every = torch.arange(len(log_q)).expand(1, len(piece), -1)
        scores = log_q - weight * candidate_span_costs(segmenter.codebook, every, pretoken)[0, -1, :, len(piece) - 1]
        nearest, exact = log_q.argmax(), segmenter.lexicon.look_up(pretoken)[0, -1, len(piece) - 1]
        assert_close(scores[found], torch.maximum(scores[nearest], scores[exact])[None])
        others += found != [nearest]
    assert others > 0


def test_costs_are_those_of_the_likeliest_strings(trained: Run) -> None:
    codebook = trained.segmenter("viterbi", trained.trained_model()).codebook
    for code, string in enumerate(codebook.strings()):
        said = sum(codebook.characters[code, k, ord(symbol)] for k, symbol in enumerate(reversed(string)))
        assert_close(codebook.costs()[code], -said - codebook.lengths[code, len(string) - 1])


def test_measures_by_hand() -> None:
    """Bytes are the sample's: a symbol may stand for several."""
    segmented = [Segmented([2, 3], [0, 1]), Segmented([1], [1])]
    measures = Measures.of(Sample(["abc", "z"], [3.0, 2.0], bytes=22.0), segmented, ["ab", "c"])
    perplexity = (8 / 3) ** (3 / 8) * (8 / 5) ** (5 / 8)
    assert measures == Measures(22 / 8, exact_codes=6 / 8, codes_used=2, perplexity=pytest.approx(perplexity))
