"""One cell, in a process of its own."""

import os
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Protocol

import torch

from gqvae.errors import GqvaeError
from gqvae.reproduce.workspace import Space

FAILED = 3
"""Exit status of a cell that says itself, in its last line, what went wrong."""


class Cell(Protocol):
    """A piece of work that is done once and kept."""

    @property
    def key(self) -> str: ...
    @property
    def needs(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Work:
    """What a comparison consists of: functions of modules, so that another process finds them."""

    space: type[Space[Any]]
    plan: Callable[[Any, Mapping[str, dict[str, Any]]], Sequence[Cell]]
    """Settings and what is finished -> all cells known so far, those that others need first."""
    cell_of: Callable[[Any, str], Cell]
    """The cell of a key, whether or not the plan has come to it."""
    run: Callable[[Any, Any], dict[str, Any]]
    """The result of a cell whose needs are finished. Its module is loaded before the process starts."""
    spent: str = ""
    """A large folder in a cell's own that is deleted once the result is kept."""


def main(work: Work, folder: Path, key: str) -> None:
    """The process: do the cell of that key and keep its result; all that is printed goes to its log."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(1)  # the other cores have other cells
    space = work.space(folder)
    with space.log(key).open("ab") as log:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(log.fileno(), stream.fileno())
    try:
        space.keep(key, work.run(space, work.cell_of(space.settings(), key)))
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
