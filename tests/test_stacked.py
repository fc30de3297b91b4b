"""A second GQ-VAE that reads the tokens of a first one: tokens across words."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from learning import TINY, vary

from gqvae.awkward import AWKWARD_BYTES, AWKWARD_TEXT
from gqvae.config import Config
from gqvae.corpus import Corpus
from gqvae.errors import GqvaeError
from gqvae.export import export_huggingface
from gqvae.export.portable import counted, export_portable
from gqvae.learn import stacked
from gqvae.learn.distill import distill
from gqvae.learn.neural import NeuralTokenizer
from gqvae.learn.run import Run
from gqvae.learn.training import Trainer, resume, train
from gqvae.names import load
from gqvae.patterns import split
from gqvae.pretokens import Counting
from gqvae.tokenizer import Tokenizer

SIZE, WINDOW, LONGEST = 400, 8, 4
STACKED = replace(
    vary(
        TINY,
        pretokens={"pattern": "sentence", "window": WINDOW},
        model={"longest_token": LONGEST},
        training={"steps": 40, "log_every": 10, "checkpoint_every": 12},
    ),
    vocab_size=SIZE,
)


def on(base: Path | str, config: Config = STACKED) -> Config:
    return vary(config, pretokens={"base": str(base)})


@pytest.fixture(scope="module")
def base(distilled: tuple[Path, dict[str, Any]]) -> Tokenizer:
    return load(distilled[0])


@pytest.fixture(scope="module")
def run(corpus: Corpus, distilled: tuple[Path, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Trained on a copy of the base, which is gone since."""
    folder = tmp_path_factory.mktemp("stacked")
    copy = shutil.copytree(distilled[0], folder / "base")
    trained = train(on(copy), corpus, folder / "run")
    shutil.rmtree(copy)
    return Run.open(trained.folder)


@pytest.fixture(scope="module")
def report(run: Run) -> dict[str, Any]:
    return distill(run.folder, run.folder.parent / "tokenizer")


@pytest.fixture(scope="module")
def tokenizer(run: Run, report: dict[str, Any]) -> Tokenizer:
    return load(run.folder.parent / "tokenizer")


@pytest.fixture(scope="module")
def network(run: Run, tokenizer: Tokenizer) -> NeuralTokenizer:
    return NeuralTokenizer(run, run.trained_model(), tokenizer.vocabulary)


def test_the_model_reads_the_tokens_of_the_base(run: Run, base: Tokenizer, corpus: Corpus) -> None:
    """Whole sentences are encoded, and only their tokens are cut at the window."""
    read = set()
    for document in corpus.documents():
        for sentence in split(document, "sentence"):
            ids = base.encode(sentence)
            read |= {"".join(map(chr, ids[start : start + WINDOW])) for start in range(0, len(ids), WINDOW)}
    assert set(run.table.pieces) | set(run.measured.pieces) == read
    assert run.alphabet.size == run.new_model().embed.symbol.num_embeddings == base.vocab_size - 1
    sizes = sum(len(document.encode()) for document in corpus.documents())
    assert run.table.total_bytes + run.measured.total_bytes == sizes


def test_the_vocabulary_is_exactly_as_large_as_asked(tokenizer: Tokenizer, report: dict[str, Any]) -> None:
    assert tokenizer.vocab_size == len(set(tokenizer.vocabulary.tokens)) == report["vocab_size"] == SIZE
    assert report["learned_strings"]["all"] == SIZE - 257
    assert tokenizer.pattern == "sentence"


def test_tokens_cross_words(tokenizer: Tokenizer, corpus: Corpus) -> None:
    used = {token for document in corpus.documents() for token in tokenizer.split(document)}
    assert any(b" " in token.strip() for token in used)
    assert not any(b". " in token for token in used)  # but not sentences


def test_every_learned_string_is_a_few_tokens_of_the_base(tokenizer: Tokenizer, run: Run) -> None:
    spans = {
        run.alphabet.text(piece[start:end])
        for piece in run.table.pieces
        for start in range(len(piece))
        for end in range(start + 1, min(start + LONGEST, len(piece)) + 1)
    }
    assert set(tokenizer.vocabulary.learned) <= spans


def test_awkward_text_survives(network: NeuralTokenizer, tokenizer: Tokenizer) -> None:
    for text in [*map(str.encode, AWKWARD_TEXT), *AWKWARD_BYTES, b"a" * 70_000]:
        for each in (network, tokenizer):
            assert each.decode_bytes(each.encode(text)) == text


@given(text=st.binary(max_size=60) | st.text(max_size=40).map(str.encode))
def test_nothing_is_lost(network: NeuralTokenizer, tokenizer: Tokenizer, text: bytes) -> None:
    for each in (network, tokenizer):
        ids = each.encode(text)
        assert each.decode_bytes(ids) == text
        assert all(0 <= id_ < SIZE - 1 for id_ in ids)


def test_the_report_counts_bytes_of_text(run: Run, report: dict[str, Any], network: NeuralTokenizer) -> None:
    documents = list(Corpus((str(run.folder / "held_out.jsonl"),)).documents())
    size = sum(len(document.encode()) for document in documents)
    ids = network.ids(run.measured.pieces)
    tokens = sum(count * len(row) for count, row in zip(run.measured.counts.tolist(), ids, strict=True))
    assert run.measured.total_bytes == size
    assert tokens == sum(len(network.encode(document)) for document in documents)
    rates = [stage["bytes_per_token"] for stage in report["held_out_stages"]]
    assert rates[1] <= rates[2] <= rates[3] >= rates[4]
    assert 1 <= size / tokens <= rates[3]


def test_the_export_gives_the_same_ids(tokenizer: Tokenizer, corpus: Corpus, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    documents = list(corpus.documents())
    assert export_huggingface(tokenizer, tmp_path / "hf", documents)["ids_equal"]
    auto = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    assert len(auto) == SIZE
    for text in (*AWKWARD_TEXT, *documents):
        assert auto(text, split_special_tokens=True)["input_ids"] == tokenizer.encode(text)
        assert auto.decode(tokenizer.encode(text)) == text


def test_the_portable_export_is_chosen_from_what_was_distilled(run: Run, tokenizer: Tokenizer, tmp_path: Path) -> None:
    pytest.importorskip("tiktoken")
    counts = counted(run.folder.parent / "tokenizer")
    assert counts
    report = export_portable(tokenizer, tmp_path / "portable", counts, keep=0.9)
    assert (report["ids_equal"], report["vocab_size"], report["whole_pretokens_only"]) == (True, SIZE, 0)


def test_a_base_is_of_the_run_alone(corpus: Corpus, run: Run, base: Tokenizer, tmp_path: Path) -> None:
    """Not of a call that was killed before there was a run; and it is hashed, like all that a run begins with."""
    base.save(tmp_path / "run" / "base")
    prepared = Run.prepare(tmp_path / "run", on("words:300"), corpus, Counting(workers=1))
    assert not prepared.base.joinpath("gqvae.json").exists()
    (tmp_path / "empty.txt").touch()
    with pytest.raises(GqvaeError, match="no text to train on"):
        Run.prepare(tmp_path / "none", on(run.base), Corpus((str(tmp_path / "empty.txt"),)), Counting(workers=1))
    assert not (tmp_path / "none" / "base").exists()
    other = Path(shutil.copytree(run.folder, tmp_path / "other"))
    load("tinystories-1024").save(other / "base")
    with pytest.raises(GqvaeError, match=r"gqvae\.json is missing, changed or damaged"):
        Run.open(other)


def test_a_base_that_is_not_there_is_a_clear_error(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(GqvaeError, match="nowhere"):
        train(on(tmp_path / "nowhere"), corpus, tmp_path / "run")
    with pytest.raises(GqvaeError, match="words:N needs 258 to 55296 ids, not 257"):
        on("words:257")


# A base that is trained first


def test_a_base_of_words_is_trained_first_and_an_interruption_changes_nothing(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped while the base is trained, and once more in the second training."""
    small = vary(STACKED, pretokens=vars(TINY.pretokens), model=vars(TINY.model))
    monkeypatch.setattr(stacked, "_words", lambda config, size: replace(small, vocab_size=size, seed=config.seed))
    config = on("words:300")
    whole = train(config, corpus, tmp_path / "whole")
    assert load(whole.base).vocab_size == whole.alphabet.size + 1 == 300
    assert whole.table.total_bytes == whole.pretokens.total_bytes

    take, steps = Trainer._step, 0

    def stop(trainer: Trainer) -> Any:
        nonlocal steps
        steps += 1
        if steps in (20, 70):  # the base's 20th, and the other's 22nd
            raise KeyboardInterrupt
        return take(trainer)

    monkeypatch.setattr(Trainer, "_step", stop)
    with pytest.raises(KeyboardInterrupt):
        train(config, corpus, tmp_path / "parts")
    assert not (tmp_path / "parts" / "base").exists()
    with pytest.raises(KeyboardInterrupt):
        resume(tmp_path / "parts")
    assert (tmp_path / "parts" / "base" / "gqvae.json").read_bytes() == (whole.base / "gqvae.json").read_bytes()
    parts = resume(tmp_path / "parts", config)
    assert parts.checkpoint.read_bytes() == whole.checkpoint.read_bytes()
