"""Moving codes that do not earn their place to the spans that need one."""

import pytest
import torch
from learning import QUANTIZERS, TINY, new_model
from torch.nn import functional as F
from torch.testing import assert_close

from gqvae.learn.data import Sample, as_tensor
from gqvae.learn.lexicon import Lexicon
from gqvae.learn.model import GQVAE
from gqvae.learn.revival import OCCURRENCES, Move, exchange, match, mean_latents, plan

STRINGS = ["ab", "cd", "xy", "ab", "a"]
TOKENIZED = [(["ab", "cd"], 10.0), (["ab", "a"], 2.0), (["xy"], 1.0)]
EMITTED = [7.0, 10.0, 1.0, 5.0, 2.0]


def test_the_poorest_codes_move_to_the_neediest_spans() -> None:
    """Code 3 says what code 0 says more often, so it is worth nothing; code 2 saves one token, 'aba' two."""
    assert plan(STRINGS, TOKENIZED, EMITTED, 4, most=5) == [Move(3, "abcd"), Move(2, "aba")]
    assert plan(STRINGS, TOKENIZED, EMITTED, 4, most=1) == [Move(3, "abcd")]


def test_of_codes_that_spell_the_same_the_one_most_used_stays() -> None:
    assert plan(STRINGS, TOKENIZED, [5.0, 10.0, 1.0, 7.0, 2.0], 4, most=1) == [Move(0, "abcd")]
    assert plan(STRINGS, TOKENIZED, [7.0, 10.0, 1.0, 7.0, 2.0], 4, most=1) == [Move(3, "abcd")]


def test_codes_move_until_enough_is_saved() -> None:
    """The first saves ten tokens and costs the one that "xy" saved."""
    strings, emitted = ["xy", "uv", "ab", "cd"], [1.0, 1.0, 18.0, 18.0]
    tokenized = [(["ab", "cd"], 10.0), (["cd", "ab"], 8.0), (["xy"], 1.0), (["uv"], 1.0)]
    assert plan(strings, tokenized, emitted, 4, most=2, enough=10.0) == [Move(0, "abcd"), Move(1, "cdab")]
    assert plan(strings, tokenized, emitted, 4, most=2, enough=9.0) == [Move(0, "abcd")]


def test_a_code_moves_only_where_it_saves_more() -> None:
    assert plan(["ab", "cd"], [(["ab"], 10.0), (["cd", "ab"], 1.0)], [11.0, 1.0], 4, most=2) == []
    assert plan(["ab"], [(["ab"], 1.0)], [1.0], 4, most=1) == []


def test_the_mean_latent_is_taken_where_the_string_ends() -> None:
    model = new_model()
    tokenized = [(["ab", "cd"], 3.0), (["x", "cd", "z"], 1.0), (["ab"], 9.0)]
    with torch.no_grad():
        first, second = (model.encode(as_tensor([piece]))[0] for piece in ("abcd", "xcdz"))
    expected = torch.stack([first[3], (3 * first[3] + second[2]) / 4, second[3]])
    assert_close(mean_latents(model, ["abcd", "cd", "cdz"], tokenized, 4), expected)


def test_a_few_occurrences_are_enough_for_a_mean() -> None:
    model = new_model()
    tokenized = [([letter, "ab"], 1.0) for letter in "cdefghijklmnop"]
    few = mean_latents(model, ["ab"], tokenized[:OCCURRENCES], 4)
    assert_close(mean_latents(model, ["ab"], tokenized, 4), few)


# Exchange

SAMPLE = Sample(["abcd", "ab", "abc"], [10.0, 3.0, 1.0], bytes=49.0)
SPELLED = ["a", "b", "c", "ab", "cd", "cd"]


def spelled_by(model: GQVAE) -> list[str]:
    with torch.no_grad():
        return model.decode_codebook().strings()


def lexicon_of(model: GQVAE, strings: list[str]) -> Lexicon:
    return Lexicon.of(strings, spelled_by(model), TINY.model.longest_token, torch.device("cpu"))


def exchanged(model: GQVAE, lexicon: Lexicon | None, share: float, sample: Sample = SAMPLE, seed: int = 0) -> Lexicon:
    usage = [float(code) for code in range(model.quantizer.size)]
    return exchange(model, lexicon, sample, usage, share, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("quantizer", QUANTIZERS)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_exchange_moves_no_more_than_its_share_and_only_what_changed(quantizer: str, share: float) -> None:
    model = new_model(quantizer, codes=40)
    sample = Sample([" show", "ed", "ing", " a"], [5.0, 4.0, 3.0, 2.0], bytes=44.0)
    said = spelled_by(model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    strings = exchanged(model, None, share, sample).strings()
    changed = [code for code in range(40) if strings[code] != said[code]]
    assert len(changed) <= share * 40
    assert bool(changed) == (share > 0)
    for name, tensor in model.state_dict().items():
        rows = (tensor != before[name]).view(len(tensor) if tensor.ndim else 1, -1).any(1).nonzero()[:, 0].tolist()
        of_codes = name in ("quantizer.codes", "quantizer.sums")
        assert rows == (changed if of_codes else []), name


def test_exchange_counts_the_fewest_strings_of_the_lexicon() -> None:
    """abcd is ab and cd, whatever the untrained network makes of it: one code for it saves ten tokens, and abc one
    more. The first five codes save none: single bytes that nothing is spelled with, and the second cd."""
    model = new_model(codes=len(SPELLED))
    after = exchanged(model, lexicon_of(model, SPELLED), 1 / len(SPELLED))
    assert after.strings() == ["abcd", *SPELLED[1:]]
    assert exchanged(model, lexicon_of(model, SPELLED), 1.0).strings() == ["abcd", "abc", "c", "ab", "cd", "cd"]


@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_a_code_moves_to_where_its_string_ends(quantizer: str) -> None:
    model = new_model(quantizer, codes=len(SPELLED))
    exchanged(model, lexicon_of(model, SPELLED), 1 / len(SPELLED))
    with torch.no_grad():
        latent = model.quantizer.project(model.encode(as_tensor(["abcd"]))[0, -1])
    assert F.cosine_similarity(model.quantizer.codes[0], latent, dim=0) > 0.8
    assert not torch.equal(model.quantizer.codes[0], latent)


@pytest.mark.parametrize("quantizer", ["fsq", "lookup_free", "residual", "product", "bridge"])
def test_codes_that_cannot_move_are_given_strings_where_they_are(quantizer: str) -> None:
    model = new_model(quantizer, codes=40)
    sample = Sample([" show", "ed", "ing", " a"], [5.0, 4.0, 3.0, 2.0], bytes=44.0)
    said, before = spelled_by(model), {name: tensor.clone() for name, tensor in model.state_dict().items()}
    given = exchanged(model, None, 0.5, sample)
    changed = [code for code, strings in enumerate(zip(given.strings(), said, strict=True)) if strings[0] != strings[1]]
    assert 0 < len(changed) <= model.quantizer.size / 2
    assert given.unsaid.tolist() == changed  # so that the decoder learns to say them
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("at_once", [2_048, 2])
def test_strings_go_to_the_codes_nearest_to_them(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each latent lies on a code, so the nearest of all together are these."""
    monkeypatch.setattr("gqvae.learn.revival.MATCHED", at_once)
    quantizer = new_model("fsq", codes=40).quantizer
    quantizer.project = quantizer.points().__getitem__  # latents are named by the code that they lie on
    moves = [Move(3, "three"), Move(8, "eight"), Move(30, "thirty"), Move(21, "one")]
    latents = torch.tensor([8, 3, 21, 30])
    found = {move.string: move.code for move in match(quantizer, moves, latents)}
    assert found == {"three": 8, "eight": 3, "thirty": 21, "one": 30}


def test_without_a_lexicon_codes_stand_for_what_the_decoder_says() -> None:
    model = new_model(codes=40)
    settled = exchanged(model, None, 0.0)
    assert settled.strings() == spelled_by(model)
    assert settled.unsaid.tolist() == []


def test_a_code_is_unsaid_until_the_decoder_says_its_string() -> None:
    model = new_model(codes=len(SPELLED))
    said = spelled_by(model)
    kept = said[:2] + SPELLED[2:]
    after = exchanged(model, lexicon_of(model, kept), 0.0)
    assert after.strings() == kept
    assert after.unsaid.tolist() == [2, 3, 4, 5]
    moved = exchanged(model, None, 0.5)
    changed = [code for code, pair in enumerate(zip(moved.strings(), said, strict=True)) if pair[0] != pair[1]]
    assert moved.unsaid.tolist() == changed
    assert len(changed) == 3


def test_exchange_repeats_itself() -> None:
    codes = []
    for seed in (1, 1, 2):
        model = new_model(codes=len(SPELLED))
        exchanged(model, lexicon_of(model, SPELLED), 1.0, seed=seed)
        codes.append(model.quantizer.codes)
    assert torch.equal(codes[0], codes[1])
    assert not torch.equal(codes[0], codes[2])
