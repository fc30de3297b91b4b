"""What the cells of `gqvae reproduce` do."""

from typing import Any

from gqvae.reproduce.contenders import make_contender
from gqvae.reproduce.encoded import Encoded
from gqvae.reproduce.plan import Cell, Probe, cell_of, plan
from gqvae.reproduce.probe import run_probe
from gqvae.reproduce.process import Work
from gqvae.reproduce.workspace import Workspace


def run_cell(space: Workspace, cell: Cell) -> dict[str, Any]:
    """The result of a cell whose needs are finished."""
    if not isinstance(cell, Probe):
        return make_contender(cell, space)
    folder = space.cell(cell.contender)
    text, judged = (Encoded.load(folder / f"{name}.parquet") for name in ("train", "held_out"))
    return {"tokenizer": cell.contender, **run_probe(text, judged, space.settings().probe, cell.seed)}


WORK = Work(Workspace, plan, cell_of, run_cell)
