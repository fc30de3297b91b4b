"""Training a GQ-VAE on the text of a comparison."""

from pathlib import Path
from typing import Any

from gqvae.config import Config
from gqvae.corpus import Corpus
from gqvae.learn.run import Run
from gqvae.learn.training import resume, train
from gqvae.pretokens import Counting
from gqvae.reproduce.workspace import Space


def trained(space: Space[Any], config: Config, folder: Path) -> Run:
    """The run in `folder`, trained; one that was cut off goes on.

    It is given all documents, and keeps from training those that the comparison does: both choose by the same hash.
    """
    if (folder / "config.json").exists():
        return resume(folder)
    config = config.override([f"pretokens.held_out={space.settings().held_out}"])
    return train(config, Corpus(tuple(map(str, space.corpus_files()))), folder, counting=Counting(workers=1))
