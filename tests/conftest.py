"""What several test files read and none changes: one tiny training and its distillation, peers, and text."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

# How long an example takes says more about the machine than about the code.
settings.register_profile("gqvae", deadline=None)
settings.load_profile("gqvae")

# Before anything imports torch, and for child processes too: sums are taken in the same order everywhere.
os.environ["OMP_NUM_THREADS"] = "1"

if TYPE_CHECKING:
    from rivals import Peer

    from gqvae.corpus import Corpus
    from gqvae.learn.run import Run
    from gqvae.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> "Corpus":
    """A few pages of Python's own documentation."""
    pytest.importorskip("torch")
    from learning import write_corpus

    return write_corpus(tmp_path_factory.mktemp("corpus") / "topics.jsonl")


@pytest.fixture(scope="session")
def trained(corpus: "Corpus", tmp_path_factory: pytest.TempPathFactory) -> "Run":
    """A finished run of `learning.TINY`. To be read, not changed."""
    from learning import TINY

    from gqvae.learn.training import train

    return train(TINY, corpus, tmp_path_factory.mktemp("trained") / "run")


@pytest.fixture(scope="session")
def distilled(trained: "Run", tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The tokenizer distilled from `trained`, and the report. To be read, not changed."""
    from gqvae.learn.distill import distill

    out = tmp_path_factory.mktemp("distilled") / "tiny"
    return out, distill(trained.folder, out)


@pytest.fixture(scope="session")
def tokenizer(distilled: tuple[Path, dict[str, Any]]) -> "Tokenizer":
    """The tokenizer of `distilled`."""
    from gqvae.names import load

    return load(distilled[0])


@pytest.fixture(scope="session")
def peers() -> "dict[str, Peer]":
    """One of each kind."""
    from rivals import DOCUMENTS, SPECS

    from gqvae.evaluation import train_peer
    from gqvae.evaluation.peers import KINDS

    assert set(SPECS) == set(KINDS)
    return {kind: train_peer(spec, DOCUMENTS) for kind, spec in SPECS.items()}


@pytest.fixture(scope="session")
def tok(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a small tokenizer."""
    from gqvae.tokenizer import Tokenizer
    from gqvae.vocabulary import Vocabulary

    learned = [
        b" the",
        b"the",
        b" Once",
        b"Once",
        b" upon",
        b" a",
        b" time",
        b"--",
        "é".encode(),
        b"\n\n",
        b"xxxx",
    ]
    scores = [-10.0] * 256 + [-5.0 - number / 8 for number in range(len(learned))]
    folder = tmp_path_factory.mktemp("tokenizers") / "small"
    Tokenizer(Vocabulary(tuple(learned)), scores, "gpt2", "small").save(folder)
    return str(folder)


@pytest.fixture(scope="session")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three documents, divided by the usual separator."""
    path = tmp_path_factory.mktemp("text") / "story.txt"
    documents = ["Once upon a time, the café.\n", "the time -- upon the time <b>\n" * 30, "日本 👩‍👩‍👧\n"]
    path.write_text("<|endoftext|>\n".join(documents), encoding="utf-8")
    return str(path)
