"""One cell, in a process of its own: `python -m gqvae.reproduce.cells FOLDER KEY`."""

import sys
import traceback
from pathlib import Path
from typing import Any

import torch

from gqvae.errors import GqvaeError
from gqvae.reproduce.contenders import make_contender
from gqvae.reproduce.encoded import Encoded
from gqvae.reproduce.plan import Cell, Probe, cell_of
from gqvae.reproduce.probe import run_probe
from gqvae.reproduce.workspace import Workspace

FAILED = 3
"""Exit status of a cell that says itself, in its last line, what went wrong."""


def run_cell(space: Workspace, cell: Cell) -> dict[str, Any]:
    """The result of a cell whose needs are finished."""
    if not isinstance(cell, Probe):
        return make_contender(cell, space)
    folder = space.cell(cell.contender)
    text, judged = (Encoded.load(folder / f"{name}.parquet") for name in ("train", "held_out"))
    return {"tokenizer": cell.contender, **run_probe(text, judged, space.settings().probe, cell.seed)}


def main(folder: str, key: str) -> None:
    torch.set_num_threads(1)  # the other cores have other cells
    space = Workspace(Path(folder))
    try:
        space.keep(key, run_cell(space, cell_of(space.settings(), key)))
    except Exception as error:  # whatever it is, the report says it
        traceback.print_exc()
        message = str(error) if isinstance(error, GqvaeError) else f"{type(error).__name__}: {error}"
        print(" ".join(message.splitlines()), file=sys.stderr)
        sys.exit(FAILED)


if __name__ == "__main__":
    main(*sys.argv[1:])
