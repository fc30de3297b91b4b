"""One cell, in a process of its own, which has this module loaded before it starts."""

import os
import sys
import threading
import traceback
from multiprocessing import parent_process
from multiprocessing.connection import wait
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


def main(folder: Path, key: str) -> None:
    """The process: do the cell of that key and keep its result; all that is printed goes to its log."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(1)  # the other cores have other cells
    space = Workspace(folder)
    with space.log(key).open("ab") as log:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(log.fileno(), stream.fileno())
    try:
        space.keep(key, run_cell(space, cell_of(space.settings(), key)))
    except Exception as error:  # whatever it is, the report says it
        traceback.print_exc()
        message = str(error) if isinstance(error, GqvaeError) else f"{type(error).__name__}: {error}"
        print(" ".join(message.splitlines()), file=sys.stderr, flush=True)
        sys.exit(FAILED)


def _end_with_parent() -> None:
    """A killed comparison leaves nothing at work in its folder."""
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
