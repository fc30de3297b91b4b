"""The whole comparison: prepare the folder, run the cells, write the outcome."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gqvae.files import locked, replacing, write_json
from gqvae.reproduce.figures import save
from gqvae.reproduce.schedule import run_cells
from gqvae.zoo.cells import WORK, ZooSpace
from gqvae.zoo.figure import use_by_rank
from gqvae.zoo.results import results_of, tables
from gqvae.zoo.settings import ZooSettings


def compare_quantizers(
    settings: ZooSettings, named: Mapping[str, Any], documents: Iterable[str], out: Path, jobs: int = 1
) -> dict[str, Any]:
    """Compare quantizers on `documents` in the folder `out`; return what goes to its results.json, with tables in
    table.md and a picture in use_by_rank.svg and .png beside it.

    Args:
        named: what the documents are called, and how they were read (`Corpus.named`): a folder is continued only with
            the same.
        jobs: cells at work at once. One: a step's time is best measured alone.

    Raises GqvaeError for a folder that is in use, holds other things or was begun otherwise. What fails later is named
    in the results.
    """
    space = ZooSpace(out)
    with locked(out):
        space.prepare(settings, named, documents)
        results = results_of(space, run_cells(WORK, space, jobs))
        write_json(out / "results.json", results)
        with replacing(out / "table.md") as temporary:
            temporary.write_text(tables(results), encoding="utf-8")
        if figure := use_by_rank(results):
            save(figure, out / "use_by_rank")
    return results
