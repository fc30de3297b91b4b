"""Moving codes that do not earn their place to the spans that need one."""

import torch
from learning import TINY, new_model
from torch.testing import assert_close

from gqvae.learn.data import Sample
from gqvae.learn.revival import Move, exchange, mean_latents, pins, plan
from gqvae.learn.segmenter import Segmented, Segmenter

STRINGS = [b"ab", b"cd", b"xy", b"ab", b"a"]
TOKENIZED = [([b"ab", b"cd"], 10.0), ([b"ab", b"a"], 2.0), ([b"xy"], 1.0)]
EMITTED = {0: 7.0, 3: 5.0, 1: 10.0, 2: 1.0, 4: 2.0}


def test_the_poorest_codes_move_to_the_neediest_spans() -> None:
    """Code 3 says what code 0 says more often, so it is worth nothing; code 2 saves one token, 'aba' two."""
    assert plan(STRINGS, TOKENIZED, EMITTED, 4, most=5) == [Move(3, b"abcd"), Move(2, b"aba")]
    assert plan(STRINGS, TOKENIZED, EMITTED, 4, most=1) == [Move(3, b"abcd")]


def test_a_code_moves_only_where_it_saves_more() -> None:
    assert plan([b"ab", b"cd"], [([b"ab"], 10.0), ([b"cd", b"ab"], 1.0)], {0: 11.0, 1: 1.0}, 4, most=2) == []
    assert plan([b"ab"], [([b"ab"], 1.0)], {0: 1.0}, 4, most=1) == []


def test_the_mean_latent_is_taken_where_the_string_ends() -> None:
    first, second = torch.randn(4, 3), torch.randn(4, 3)
    tokenized = [([b"ab", b"cd"], 3.0), ([b"x", b"cd", b"z"], 1.0)]
    segmented = [Segmented([2, 4], [0, 1], first), Segmented([1, 3, 4], [2, 1, 3], second)]
    found = mean_latents([b"abcd", b"cd", b"cdz"], tokenized, segmented, 4)
    assert_close(found, torch.stack([first[3], (3 * first[3] + second[2]) / 4, second[3]]))


def test_pins_are_the_strings_read_backwards() -> None:
    made = pins([Move(3, b"abc"), Move(1, b"z")], 4, torch.device("cpu"))
    assert made.rows.tolist() == [3, 1]
    assert made.backwards.tolist() == [[*b"cba", 0], [*b"z", 0, 0, 0]]
    assert made.lengths.tolist() == [3, 1]


def test_exchange_moves_no_more_than_its_share_of_the_codes() -> None:
    model = new_model(codes=40)
    sample = Sample([b" show", b"ed", b"ing", b" a"], [5.0, 4.0, 3.0, 2.0])
    segmenter = Segmenter(model, mode="viterbi", price=4.0, weight=1.0, candidates=4)
    before = model.quantizer.codes.clone()
    placed = exchange(segmenter, sample, 0.1, torch.Generator().manual_seed(0))
    assert placed is not None
    moved = (model.quantizer.codes != before).any(1).nonzero()[:, 0]
    assert sorted(placed.rows.tolist()) == moved.tolist()
    assert 1 <= len(moved) <= 4
    assert placed.backwards.shape[1] == TINY.model.longest_token
