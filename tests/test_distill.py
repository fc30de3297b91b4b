"""From a trained network to a tokenizer: exactly N ids, nothing lost, and the figures that are reported."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from learning import TINY

from gqvae.awkward import AWKWARD_BYTES, AWKWARD_TEXT
from gqvae.config import SPECIALS
from gqvae.errors import GqvaeError
from gqvae.learn.distill import distill
from gqvae.learn.neural import NeuralTokenizer
from gqvae.learn.run import Run
from gqvae.learn.scores import fit_scores, static_ids
from gqvae.learn.segmenter import Measures, Mode, Segmented, Segmenter
from gqvae.patterns import cut, split
from gqvae.pretokens import PretokenTable, count_pretokens
from gqvae.selection import choose
from gqvae.spelling import spell
from gqvae.tokenizer import Tokenizer, load
from gqvae.vocabulary import Vocabulary

Distilled = tuple[Path, dict[str, Any]]
MODES: tuple[Mode, ...] = ("gates", "viterbi")
LONGEST = TINY.model.longest_token


@pytest.fixture(scope="module")
def tokenizer(distilled: Distilled) -> Tokenizer:
    return load(distilled[0])


@pytest.fixture(scope="module")
def networks(trained: Run, tokenizer: Tokenizer) -> dict[Mode, NeuralTokenizer]:
    model = trained.trained_model()
    return {mode: NeuralTokenizer(trained, model, tokenizer.vocabulary, mode) for mode in MODES}


# The vocabulary


def test_the_vocabulary_is_exactly_as_large_as_asked(tokenizer: Tokenizer, distilled: Distilled) -> None:
    assert tokenizer.vocab_size == len(tokenizer.vocabulary.tokens) == TINY.vocab_size == distilled[1]["vocab_size"]


def test_bytes_come_first_and_specials_last(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.vocabulary.tokens
    assert tokens[:256] == tuple(bytes([value]) for value in range(256))
    assert tokens[-1:] == tuple(name.encode() for name in SPECIALS)
    assert len(set(tokens)) == len(tokens)
    assert all(2 <= len(token) <= LONGEST for token in tokens[256:-1])


def test_no_string_is_impossible_and_every_one_is_useful(tokenizer: Tokenizer, trained: Run) -> None:
    """Each learned string lies within a pretoken, and is one of the fewest that spell some pretoken."""
    known = set(tokenizer.vocabulary.learned)
    assert all(any(string in piece for piece in trained.pretokens.pieces) for string in known)
    assert known <= {token for piece in trained.pretokens.pieces for token in spell(piece, known, LONGEST)}


def test_learned_ids_are_in_the_order_of_use_by_the_network(tokenizer: Tokenizer, distilled: Distilled) -> None:
    rows = pyarrow.parquet.read_table(distilled[0] / "segmentations.parquet").to_pylist()
    used: Counter[int] = Counter()
    for row in rows:
        for id_ in row["ids"]:
            used[id_] += row["count"]
    learned = range(256, tokenizer.vocab_size - 1)
    assert [used[id_] for id_ in learned] == sorted((used[id_] for id_ in learned), reverse=True)


@pytest.mark.parametrize("size", [258, 300, 500])
def test_any_size_that_the_text_can_fill(size: int, trained: Run, tmp_path: Path) -> None:
    assert distill(trained.folder, tmp_path / "out", size)["vocab_size"] == size
    assert load(tmp_path / "out").vocab_size == size


@pytest.mark.parametrize(("size", "message"), [(100_000, "the text has use for .* ids, not 100000"), (257, "no room")])
def test_a_size_that_cannot_be_is_a_clear_error(size: int, message: str, trained: Run, tmp_path: Path) -> None:
    with pytest.raises(GqvaeError, match=message):
        distill(trained.folder, tmp_path / "out", size)
    assert not (tmp_path / "out").exists()


def test_choose_prefers_what_saves_most() -> None:
    table = count_pretokens(["abcd abcd abcd xyz xyz qr"], pattern="gpt2", window=12)
    strings = Counter({b"abcd": 1, b" abcd": 2, b" xyz": 2, b" qr": 1, b"impossible": 0})
    assert choose(strings, table, 256 + 1 + 2, 8) == [b" xyz", b"abcd"]  # the space before it costs one token
    assert choose(strings, table, 256 + 1 + 3, 8) == [b" abcd", b" xyz", b"abcd"]


def test_a_special_token_is_never_a_learned_string() -> None:
    """A pattern that leaves the name of a special token whole must not make it one, however often it occurs."""
    table = count_pretokens(["<|endoftext|>"] * 50 + ["one two", "three"], pattern="none", window=16)
    learned = choose(Counter({b"one two": 1, b"three": 1}), table, 256 + 1 + 4, 16)
    assert {b"one two", b"three"} < set(learned)
    assert b"<|endoftext|>" not in learned


def test_every_size_up_to_what_the_text_has_use_for(trained: Run) -> None:
    """No size in between is refused, and the error says how far one can go."""
    table = trained.pretokens
    with pytest.raises(GqvaeError, match="has use for") as told:
        choose(Counter(), table, 100_000, LONGEST)
    most = int(re.findall(r"use for (\d+) ids", str(told.value))[0])
    for size in range(258, int(0.95 * most), most // 10):
        learned = choose(Counter(), table, size, LONGEST)
        assert len(learned) == size - 257


# Lossless


@pytest.mark.parametrize("mode", MODES)
@given(text=st.binary(max_size=60))
def test_the_network_is_lossless_on_bytes(mode: Mode, networks: dict[Mode, NeuralTokenizer], text: bytes) -> None:
    assert networks[mode].decode_bytes(networks[mode].encode(text)) == text


@pytest.mark.parametrize("mode", MODES)
@given(text=st.text(max_size=40))
def test_the_network_is_lossless_on_text(mode: Mode, networks: dict[Mode, NeuralTokenizer], text: str) -> None:
    assert networks[mode].decode_bytes(networks[mode].encode(text)) == text.encode()


def test_awkward_text_survives_all_three(networks: dict[Mode, NeuralTokenizer], tokenizer: Tokenizer) -> None:
    for text in [*(text.encode() for text in AWKWARD_TEXT), *AWKWARD_BYTES, b"a" * 100_000]:
        for each in (*networks.values(), tokenizer):
            assert each.decode_bytes(each.encode(text)) == text


@pytest.mark.parametrize("mode", MODES)
def test_ids_are_of_the_vocabulary_and_never_special(mode: Mode, networks: dict[Mode, NeuralTokenizer]) -> None:
    ids = networks[mode].encode("Some <|endoftext|> text, 日本")
    assert all(0 <= id_ < networks[mode].vocab_size - len(SPECIALS) for id_ in ids)


@pytest.mark.parametrize("mode", MODES)
def test_the_network_remembers_nothing_but_pretokens(mode: Mode, networks: dict[Mode, NeuralTokenizer]) -> None:
    """One text at a time, in any order, gives what a batch gives."""
    network = networks[mode]
    text = "The statement is executed and the statement is documented"
    pieces = [part for piece in split(text, "gpt2") for part in cut(piece, TINY.pretokens.window)]
    assert network.encode(text) == network.encode(text)
    assert network.encode(text) == [id_ for piece in pieces for id_ in network.ids([piece])[0]]


# The segmenters


@pytest.mark.parametrize("mode", MODES)
def test_segmentations_tile(mode: Mode, trained: Run) -> None:
    segmenter = trained.segmenter(mode, trained.trained_model())
    pieces = trained.pretokens.pieces[:200]
    for piece, result in zip(pieces, segmenter.segment(pieces, keep_latents=True), strict=True):
        spans = result.spans(piece)
        assert b"".join(spans) == piece
        assert all(1 <= len(span) <= LONGEST for span in spans)
        assert len(result.codes) == len(spans)
        assert result.latents is not None
        assert result.latents.shape == (len(piece), TINY.model.width)


@pytest.mark.parametrize("mode", MODES)
def test_only_codes_of_the_vocabulary_are_emitted(mode: Mode, trained: Run) -> None:
    model = trained.trained_model()
    few = {bytes([value]) for value in range(256)} | {b" the", b"ing", b" is"}
    segmenter = trained.segmenter(mode, model, few)
    for result in segmenter.segment(trained.pretokens.pieces[:200]):
        assert all(segmenter.strings[code] in few for code in result.codes)


def test_viterbi_costs_no_more_than_the_gates(trained: Run) -> None:
    """Both segmentations under the same price of tokens and spelling: the search finds the least."""
    model = trained.trained_model()
    pieces = trained.pretokens.pieces[:100]

    def cost(segmenter: Segmenter, piece: bytes, result: Segmented) -> float:
        assert result.latents is not None
        total, q = 0.0, model.quantizer.similarity(model.quantizer.project(result.latents)).log_softmax(-1)
        for end, code, span in zip(result.ends, result.codes, result.spans(piece), strict=True):
            spelled = [segmenter.codebook.characters[code, k, byte].item() for k, byte in enumerate(span[::-1])]
            nats = -sum(spelled) - segmenter.codebook.lengths[code, len(span) - 1].item()
            total += segmenter.weight * nats + segmenter.price - q[end - 1, code].item()
        return total

    costs = {}
    for mode in MODES:
        segmenter = trained.segmenter(mode, model)
        results = segmenter.segment(pieces, keep_latents=True)
        costs[mode] = [cost(segmenter, piece, result) for piece, result in zip(pieces, results, strict=True)]
    assert all(best <= other + 1e-3 for best, other in zip(costs["viterbi"], costs["gates"], strict=True))


def test_measures_by_hand() -> None:
    segmented = [Segmented([2, 3], [0, 1], None), Segmented([1], [1], None)]
    measures = Measures.of([b"abc", b"z"], [3.0, 2.0], segmented, [b"ab", b"c"])
    perplexity = (8 / 3) ** (3 / 8) * (8 / 5) ** (5 / 8)
    assert measures == Measures(11 / 8, exact_codes=6 / 8, codes_used=2, perplexity=pytest.approx(perplexity))


# Static scores


def test_scores_reproduce_a_segmentation_that_scores_can_express() -> None:
    vocabulary = Vocabulary((b"ab", b"bc", b"abc"))
    table = PretokenTable([b"abc", b"ab", b"bc"], np.array([5, 3, 2]), "none", 8, {})
    id_of = vocabulary.id_of
    whole = [(id_of[b"abc"],), (id_of[b"ab"],), (id_of[b"bc"],)]
    assert fit_scores(vocabulary, table, whole).agreement == 1
    left, right = (id_of[b"ab"], ord("c")), (ord("a"), id_of[b"bc"])
    vocabulary = Vocabulary((b"ab", b"bc"))
    table = PretokenTable([b"abc", b"ab"], np.array([5, 3]), "none", 8, {})
    for wanted in (left, right):
        fitted = fit_scores(vocabulary, table, [wanted, (id_of[b"ab"],)])
        assert fitted.agreement == 1
        assert static_ids(vocabulary, fitted.scores, [b"abc"]) == [wanted]


def test_static_ids_are_those_of_the_tokenizer(tokenizer: Tokenizer, trained: Run) -> None:
    pieces = [piece for piece in trained.pretokens.pieces if piece.isascii()]
    found = static_ids(tokenizer.vocabulary, tokenizer.scores, pieces)
    assert [list(ids) for ids in found] == [tokenizer.encode(piece) for piece in pieces]


# The report and the files


def agreement(trained_on: PretokenTable, tokenizer: Tokenizer, network: NeuralTokenizer) -> float:
    static = static_ids(tokenizer.vocabulary, tokenizer.scores, trained_on.pieces)
    counts = trained_on.counts.tolist()
    same = [a == b for a, b in zip(static, network.ids(trained_on.pieces), strict=True)]
    return sum(n for n, equal in zip(counts, same, strict=True) if equal) / sum(counts)


def test_the_agreement_is_that_of_the_finished_tokenizer(
    distilled: Distilled, tokenizer: Tokenizer, networks: dict[Mode, NeuralTokenizer], trained: Run
) -> None:
    report = distilled[1]
    assert report["agreement"] == agreement(trained.held_out, tokenizer, networks["viterbi"])
    assert report["agreement_on_training_text"] == agreement(trained.pretokens, tokenizer, networks["viterbi"])
    assert 0.3 < report["agreement"] <= 1


def test_the_report_counts_bytes_over_tokens_of_the_held_out_text(
    distilled: Distilled, tokenizer: Tokenizer, networks: dict[Mode, NeuralTokenizer], trained: Run
) -> None:
    from gqvae.corpus import Corpus

    documents = list(Corpus((str(trained.folder / "held_out.jsonl"),)).documents())
    size = sum(len(document.encode()) for document in documents)
    stages = distilled[1]["held_out_stages"]
    rates = {row["stage"].partition(",")[0]: row["bytes_per_token"] for row in stages}
    for mode in MODES:
        tokens = sum(len(networks[mode].encode(document)) for document in documents)
        assert rates[mode] == pytest.approx(size / tokens)
    # the tokenizer that people run does not cut long pretokens, so it may differ a little
    assert stages[-1]["bytes_per_token"] == pytest.approx(
        size / sum(len(tokenizer.encode(d)) for d in documents), rel=0.02
    )


def test_the_report_adds_up(distilled: Distilled, trained: Run) -> None:
    out, report = distilled
    assert json.loads((out / "report.json").read_text()) == report
    codebook, learned = report["codebook"], report["learned_strings"]
    assert codebook["codes"] == trained.codes()
    distinct = codebook["codes"] - codebook["duplicates"]
    assert distinct == codebook["single_bytes"] + codebook["unused_or_impossible"] + codebook["useful"]
    assert learned["all"] == learned["from_codes"] + learned["filled_in"] == TINY.vocab_size - 257
    assert 0 <= report["exact_codes"] <= 1


def test_the_segmentations_kept_are_the_networks(
    distilled: Distilled, networks: dict[Mode, NeuralTokenizer], tokenizer: Tokenizer, trained: Run
) -> None:
    columns = pyarrow.parquet.read_table(distilled[0] / "segmentations.parquet").to_pydict()
    assert columns["piece"] == trained.pretokens.pieces
    assert columns["count"] == trained.pretokens.counts.tolist()
    assert list(map(tuple, columns["ids"])) == networks["viterbi"].ids(trained.pretokens.pieces)
    assert [tokenizer.decode_bytes(ids) for ids in columns["ids"]] == columns["piece"]


def test_distilling_again_gives_the_same_bytes(distilled: Distilled, trained: Run, tmp_path: Path) -> None:
    out = tmp_path / distilled[0].name
    assert distill(trained.folder, out) == distilled[1]
    for file in ("gqvae.json", "report.json", "segmentations.parquet"):
        assert (out / file).read_bytes() == (distilled[0] / file).read_bytes()


def test_the_tokenizer_says_where_it_comes_from(tokenizer: Tokenizer, trained: Run) -> None:
    assert tokenizer.name == "tiny"
    assert tokenizer.pattern == TINY.pretokens.pattern
    assert tokenizer.provenance["seed"] == TINY.seed
    assert tokenizer.provenance["corpus"] == trained.pretokens.provenance


def test_a_saved_pair_loads_as_the_network(distilled: Distilled, trained: Run, tokenizer: Tokenizer) -> None:
    network = NeuralTokenizer.load(trained.folder, distilled[0])
    assert network.vocabulary == tokenizer.vocabulary
    assert network.name == "network (viterbi)"
