"""From a trained network to a tokenizer: exactly N ids, nothing lost, and the figures that are reported."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from learning import TINY, vary
from torch.testing import assert_close

from gqvae.awkward import AWKWARD_BYTES, AWKWARD_TEXT
from gqvae.config import SPECIALS
from gqvae.corpus import Corpus
from gqvae.errors import GqvaeError
from gqvae.learn.alphabet import SymbolTable
from gqvae.learn.data import Sample, as_tensor
from gqvae.learn.distill import distill
from gqvae.learn.model import candidate_span_costs
from gqvae.learn.neural import NeuralTokenizer
from gqvae.learn.run import Run
from gqvae.learn.scores import fit_scores, static_ids
from gqvae.learn.segmenter import Measures, Mode, Segmented, Segmenter, encode
from gqvae.patterns import cut, split
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
    known = {string.decode("latin-1") for string in tokenizer.vocabulary.learned}
    assert all(any(string in piece for piece in trained.table.pieces) for string in known)
    assert known <= {token for piece in trained.table.pieces for token in spell(piece, known, LONGEST)}


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


def test_without_a_size_the_vocabulary_is_what_the_codes_give(trained: Run, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained.folder, tmp_path / "run"))
    config = vary(replace(TINY, vocab_size=None), quantizer={"codes": trained.codes()})
    replace(trained, folder=folder, config=config)._write(skipped=0)
    report = distill(folder, tmp_path / "out")
    useful = report["codebook"]["useful"]
    assert report["learned_strings"] == {"all": useful, "from_codes": useful, "filled_in": 0}
    assert report["vocab_size"] == load(tmp_path / "out").vocab_size == 257 + useful > 257


@pytest.mark.parametrize(("size", "message"), [(100_000, "the text has use for .* ids, not 100000"), (257, "no room")])
def test_a_size_that_cannot_be_is_a_clear_error(size: int, message: str, trained: Run, tmp_path: Path) -> None:
    with pytest.raises(GqvaeError, match=message):
        distill(trained.folder, tmp_path / "out", size)
    assert not (tmp_path / "out").exists()


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
    parts = [part for piece in split(text, "gpt2") for part in cut(piece, TINY.pretokens.window)]
    pieces = [part.decode("latin-1") for part in parts]
    assert network.encode(text) == network.encode(text)
    assert network.encode(text) == [id_ for piece in pieces for id_ in network.ids([piece])[0]]


# The segmenters


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

    def cost(segmenter: Segmenter, piece: str, result: Segmented) -> float:
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
    segmenter = Segmenter(model, mode="viterbi", price=1e6, weight=weight, candidates=1)
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


# Static scores


def test_scores_reproduce_a_segmentation_that_scores_can_express() -> None:
    vocabulary = Vocabulary((b"ab", b"bc", b"abc"))
    texts, counts, id_of = [b"abc", b"ab", b"bc"], [5, 3.5, 2], vocabulary.id_of
    whole = [(id_of[b"abc"],), (id_of[b"ab"],), (id_of[b"bc"],)]
    assert static_ids(vocabulary, fit_scores(vocabulary, texts, counts, whole), texts) == whole
    left, right = (id_of[b"ab"], ord("c")), (ord("a"), id_of[b"bc"])
    vocabulary = Vocabulary((b"ab", b"bc"))
    for first in (left, right):
        wanted = [first, (id_of[b"ab"],)]
        assert static_ids(vocabulary, fit_scores(vocabulary, texts[:2], counts[:2], wanted), texts[:2]) == wanted


def test_what_occurs_more_often_decides_between_scores() -> None:
    vocabulary = Vocabulary((b"ab", b"bc"))
    left, right = (256, ord("c")), (ord("a"), 257)
    for counts, best in (((1.0, 2.0), right), ((2.0, 1.0), left)):
        scores = fit_scores(vocabulary, [b"abc", b"abc"], counts, [left, right])
        assert static_ids(vocabulary, scores, [b"abc"]) == [best]


def test_agreement_is_not_bought_with_tokens() -> None:
    vocabulary = Vocabulary((b"cd", b"abc"))
    network = (*b"ab", 256)
    for spare, best in ((0.0, (257, *b"d")), (1.0, network)):
        scores = fit_scores(vocabulary, [b"abcd"], [10_000], [network], spare=spare)
        assert static_ids(vocabulary, scores, [b"abcd"]) == [best]


def test_no_string_loses_to_those_that_spell_it() -> None:
    """Though the network never used them: an id that cannot occur is a lost one."""
    vocabulary = Vocabulary((b"ab", b"abab", b"ababab"))
    scores = fit_scores(vocabulary, [b"abab"], [10_000], [(256, 256)], spare=1.0)
    assert static_ids(vocabulary, scores, vocabulary.plain_tokens) == [(id_,) for id_ in range(259)]


def test_static_ids_are_those_of_the_tokenizer(tokenizer: Tokenizer, trained: Run) -> None:
    pieces = [piece for piece in trained.table.texts if piece.isascii()]
    found = static_ids(tokenizer.vocabulary, tokenizer.scores, pieces)
    assert [list(ids) for ids in found] == [tokenizer.encode(piece) for piece in pieces]


# The report and the files


def rate(table: SymbolTable, tokens: list[int]) -> float:
    """Bytes per token, from the tokens of each piece."""
    return table.total_bytes / sum(count * n for count, n in zip(table.counts.tolist(), tokens, strict=True))


def test_the_agreement_is_that_of_the_finished_tokenizer(
    distilled: Distilled, tokenizer: Tokenizer, networks: dict[Mode, NeuralTokenizer], trained: Run
) -> None:
    table = trained.measured
    static = static_ids(tokenizer.vocabulary, tokenizer.scores, table.texts)
    same = [a == b for a, b in zip(static, networks["viterbi"].ids(table.pieces), strict=True)]
    counts = table.counts.tolist()
    assert distilled[1]["agreement"] == sum(n for n, equal in zip(counts, same, strict=True) if equal) / sum(counts)
    assert 0.3 < distilled[1]["agreement"] <= 1


def test_the_report_has_bytes_per_token_of_held_out_text_after_each_stage(
    distilled: Distilled, tokenizer: Tokenizer, trained: Run
) -> None:
    """The network with the strings of codes alone, then these spelled as short as can be, then those filled in, then
    what ships."""
    model, table, learned = trained.trained_model(), trained.measured, tokenizer.vocabulary.learned
    segmenter = trained.segmenter("viterbi", model)
    results = zip(trained.table.pieces, segmenter.segment(trained.table.pieces), strict=True)
    said = {
        segmenter.strings[code].encode("latin-1")
        for piece, result in results
        for span, code in zip(result.spans(piece), result.codes, strict=True)
        if segmenter.strings[code] == span
    }
    of_codes = Vocabulary(tuple(string for string in learned if string in said))
    documents = list(Corpus((str(trained.folder / "held_out.jsonl"),)).documents())
    size = sum(len(document.encode()) for document in documents)
    assert size == table.total_bytes

    def by_network(mode: Mode) -> float:
        network = NeuralTokenizer(trained, model, of_codes, mode)
        return size / sum(len(network.encode(document)) for document in documents)

    def by_fewest(vocabulary: Vocabulary) -> float:
        known = {string.decode("latin-1") for string in vocabulary.learned}
        return rate(table, [len(spell(piece, known, LONGEST)) for piece in table.pieces])

    static = static_ids(tokenizer.vocabulary, tokenizer.scores, table.texts)
    expected = [by_network("gates"), by_network("viterbi"), by_fewest(of_codes), by_fewest(tokenizer.vocabulary)]
    stages = distilled[1]["held_out_stages"]
    rates = [stage["bytes_per_token"] for stage in stages]
    assert rates == pytest.approx([*expected, rate(table, list(map(len, static)))])
    assert [stage["ids"] for stage in stages] == [len(of_codes)] * 3 + [tokenizer.vocab_size] * 2
    assert len(of_codes.learned) == distilled[1]["learned_strings"]["from_codes"]
    assert rates[1] <= rates[2] <= rates[3] >= rates[4]
    # the tokenizer that people run does not cut long pretokens, so it may differ a little
    assert rates[4] == pytest.approx(size / sum(len(tokenizer.encode(d)) for d in documents), rel=0.02)


def test_the_report_adds_up(distilled: Distilled, trained: Run) -> None:
    out, report = distilled
    assert json.loads((out / "report.json").read_text()) == report
    codebook, learned = report["codebook"], report["learned_strings"]
    assert codebook["codes"] == trained.codes()
    distinct = codebook["codes"] - codebook["duplicates"]
    assert distinct == codebook["single_bytes"] + codebook["unused_or_impossible"] + codebook["useful"]
    assert learned["all"] == learned["from_codes"] + learned["filled_in"] == TINY.vocab_size - 257
    assert 0 <= report["exact_codes"] <= 1


def test_the_report_counts_ids_that_the_tokenizer_never_uses(
    distilled: Distilled, tokenizer: Tokenizer, trained: Run
) -> None:
    ids = static_ids(tokenizer.vocabulary, tokenizer.scores, trained.table.texts)
    never = set(range(256, tokenizer.vocab_size - 1)) - {id_ for row in ids for id_ in row}
    assert distilled[1]["ids_never_used_on_training_text"] == len(never)


def test_the_segmentations_kept_are_the_networks(
    distilled: Distilled, networks: dict[Mode, NeuralTokenizer], tokenizer: Tokenizer, trained: Run
) -> None:
    columns = pyarrow.parquet.read_table(distilled[0] / "segmentations.parquet").to_pydict()
    assert columns["piece"] == trained.table.texts
    assert columns["count"] == trained.table.counts.tolist()
    assert list(map(tuple, columns["ids"])) == networks["viterbi"].ids(trained.table.pieces)
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
