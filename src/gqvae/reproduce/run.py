"""The whole comparison: prepare the folder, run the cells, write the outcome."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gqvae import machine
from gqvae.evaluation.intrinsic import read_parallel
from gqvae.files import locked, write_json
from gqvae.reproduce.cells import WORK
from gqvae.reproduce.report import write_report
from gqvae.reproduce.results import results_of
from gqvae.reproduce.schedule import run_cells
from gqvae.reproduce.settings import ReproduceSettings
from gqvae.reproduce.workspace import PARALLEL, Workspace


def reproduce(
    settings: ReproduceSettings,
    named: Mapping[str, Any],
    documents: Iterable[str],
    out: Path,
    parallel: Path | None = None,
    jobs: int | None = None,
) -> dict[str, Any]:
    """Compare tokenizers on `documents` in the folder `out`; return what goes to its results.json.

    Args:
        named: what the documents are called, and how they were read (`Corpus.named`): a folder is continued only with
            the same.
        parallel: a .jsonl of one text in several languages, lines {"language": ..., "text": ...}.
        jobs: cells at work at once; None for one a core.

    Raises GqvaeError for a folder that is in use, holds other things or was begun otherwise, and for bad input. What
    fails later is named in the results.
    """
    space = Workspace(out)
    if parallel:
        read_parallel(parallel)  # what is wrong with it is told now
    with locked(out):
        space.prepare(settings, named, documents, {PARALLEL: parallel})
        failures = run_cells(WORK, space, jobs or machine.cores())
        results = results_of(space, failures)
        write_json(out / "results.json", results)
        write_report(results, out)
    return results
