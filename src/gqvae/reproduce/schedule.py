"""Running the cells of a comparison: each in a process of its own, several at once, each kept when it is finished.

A cell that fails is reported and does not sink the rest; what needed it is left out. Interrupted work goes on with the
same command: finished cells are not done again, and the training of a tokenizer continues from its last checkpoint.
"""

import shutil
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from gqvae.reproduce.plan import with_failures
from gqvae.reproduce.process import FAILED, Cell, Work, main
from gqvae.reproduce.workspace import Space
from gqvae.terminal import Bar, say

Failures = dict[str, str]
"""What went wrong, by the key of the cell."""


def run_cells(work: Work, space: Space[Any], jobs: int) -> Failures:
    """Run all cells that are not finished, `jobs` at once, until the plan has no more."""
    with Bar() as bar:
        return _Schedule(work, space, jobs, bar).run()


class _Schedule:
    """What is running, and what went wrong so far."""

    def __init__(self, work: Work, space: Space[Any], jobs: int, bar: Bar) -> None:
        self.work, self.space, self.jobs, self.bar = work, space, jobs, bar
        self.settings = space.settings()
        self.failures: Failures = {}
        self.running: dict[str, ForkServerProcess] = {}
        self.counts = 0, 0  # cells that are over, and all
        # forked from a process that has loaded the libraries, which takes longer than a small cell
        self.context = get_context("forkserver")
        self.context.set_forkserver_preload([work.run.__module__])

    def run(self) -> Failures:
        try:
            while running := self._start():
                wait([process.sentinel for process in running.values()])
                self._finish()
        finally:  # Ctrl-C too
            for process in self.running.values():
                process.terminate()
                process.join()
        return self.failures

    def _start(self) -> dict[str, ForkServerProcess]:
        """Start what there is room for; what is running now."""
        for cell in self._ready():
            self.space.log(cell.key).parent.mkdir(parents=True, exist_ok=True)
            process = self.context.Process(target=main, args=(self.work, self.space.folder.resolve(), cell.key))
            process.start()
            self.running[cell.key] = process
        self.bar.show(*self.counts, sorted(self.running))
        return self.running

    def _finish(self) -> None:
        for key, process in list(self.running.items()):
            if process.exitcode is not None:
                del self.running[key]
                if error := self._error(key, process.exitcode):
                    self.failures[key] = error
                    say(f"{key} failed: {error}")

    def _error(self, key: str, status: int) -> str | None:
        """What went wrong in a process that ended with `status`, if anything did."""
        log = self.space.log(key)
        if status == FAILED:
            return _last_line(log)
        reason = f"killed by signal {-status} (out of memory?)" if status < 0 else f"exit status {status}"
        return f"{reason}; see {log}" if status else None

    def _ready(self) -> list[Cell]:
        """The next cells to start, as many as there is room for."""
        done = self.space.done()
        if self.work.spent:
            for key in done:
                shutil.rmtree(self.space.cell(key) / self.work.spent, ignore_errors=True)
        planned = self.work.plan(self.settings, with_failures(done, self.failures))
        for cell in planned:  # needs come before what needs them
            if lost := next((need for need in cell.needs if need in self.failures), None):
                self.failures.setdefault(cell.key, f"needs {lost}, which failed")
        over = done.keys() | self.failures.keys()
        self.counts = len(over & {cell.key for cell in planned}), len(planned)
        taken = over | self.running.keys()
        open_ = [cell for cell in planned if cell.key not in taken and set(cell.needs) <= done.keys()]
        return open_[: self.jobs - len(self.running)]


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[-1] if lines else "no reason given"
