"""From a trained network to a tokenizer: exactly N ids, nothing lost, and the figures that are reported."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from learning import LONGEST, MODES, TINY, vary

from gqvae.awkward import AWKWARD_BYTES, AWKWARD_TEXT
from gqvae.config import SPECIALS
from gqvae.corpus import Corpus
from gqvae.errors import GqvaeError
from gqvae.learn.alphabet import SymbolTable
from gqvae.learn.distill import distill
from gqvae.learn.neural import NeuralTokenizer
from gqvae.learn.run import Run
from gqvae.learn.scores import static_ids
from gqvae.learn.segmenter import Mode
from gqvae.names import load
from gqvae.patterns import cut, split
from gqvae.spelling import spell
from gqvae.tokenizer import Tokenizer
from gqvae.vocabulary import Vocabulary

Distilled = tuple[Path, dict[str, Any]]


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
    config = replace(vary(TINY, quantizer={"codes": trained.codes()}), vocab_size=None)
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
