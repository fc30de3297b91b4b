"""One tiny training and one distillation, shared by all tests that need a trained network."""

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
    from gqvae.corpus import Corpus
    from gqvae.learn.run import Run


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
