"""Running the cells of a comparison: each in a process of its own, several at once, each kept when it is finished.

A cell that fails is reported and does not sink the rest; what needed it is left out. Interrupted work goes on with the
same command: finished cells are not done again, and the training of a tokenizer continues from its last checkpoint.
"""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

from gqvae.errors import GqvaeError
from gqvae.reproduce.cells import FAILED
from gqvae.reproduce.plan import Cell, plan
from gqvae.reproduce.workspace import Workspace
from gqvae.terminal import Bar, say

Failures = dict[str, str]
"""What went wrong, by the key of the cell."""


def run_cells(space: Workspace, jobs: int, lock: int) -> Failures:
    """Run all cells that are not finished, `jobs` at once, until the plan has no more.

    lock: what `locked` gave.
    """
    with Bar() as bar:
        return _Schedule(space, jobs, bar, _Children(space, lock)).run()


class _Schedule:
    """What is running, and what went wrong so far."""

    def __init__(self, space: Workspace, jobs: int, bar: Bar, children: "_Children") -> None:
        self.space, self.jobs, self.bar, self.children = space, jobs, bar, children
        self.settings = space.settings()
        self.failures: Failures = {}
        self.running: dict[Future[str | None], Cell] = {}
        self.counts = 0, 0  # cells that are over, and all

    def run(self) -> Failures:
        with ThreadPoolExecutor(self.jobs) as threads:
            try:
                while ready := self._start(threads):
                    self._finish(wait(ready, return_when=FIRST_COMPLETED).done)
            except BaseException:  # Ctrl-C too: the threads wait for their processes
                self.children.end()
                raise
        return self.failures

    def _start(self, threads: ThreadPoolExecutor) -> dict[Future[str | None], Cell]:
        """Start what there is room for; what is running now."""
        for cell in self._ready():
            self.running[threads.submit(self.children.run, cell.key)] = cell
        self.bar.show(*self.counts, sorted(cell.key for cell in self.running.values()))
        return self.running

    def _finish(self, futures: set[Future[str | None]]) -> None:
        for future in futures:
            cell = self.running.pop(future)
            if error := future.result():
                self.failures[cell.key] = error
                say(f"{cell.key} failed: {error}")

    def _ready(self) -> list[Cell]:
        """The next cells to start, as many as there is room for."""
        done = self.space.done()
        cells = plan(self.settings, done | {key: {"failed": True} for key in self.failures})
        for cell in cells:  # needs come before what needs them
            if lost := next((need for need in cell.needs if need in self.failures), None):
                self.failures.setdefault(cell.key, f"needs {lost}, which failed")
        busy = {cell.key for cell in self.running.values()}
        over = done.keys() | self.failures.keys()
        self.counts = len(over & {cell.key for cell in cells}), len(cells)
        open_ = [cell for cell in cells if cell.key not in over | busy and set(cell.needs) <= done.keys()]
        return open_[: self.jobs - len(busy)]


class _Children:
    """The processes of the cells."""

    def __init__(self, space: Workspace, lock: int) -> None:
        self.space, self.lock = space, lock
        self.alive: set[subprocess.Popen[bytes]] = set()

    def end(self) -> None:
        for child in list(self.alive):
            child.terminate()

    def run(self, key: str) -> str | None:
        """Run one cell to its end; returns what went wrong, if anything did."""
        folder = self.space.cell(key)
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "gqvae.reproduce.cells", str(self.space.folder), key]
        one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        with (folder / "log.txt").open("ab") as log:
            # the lock goes along: while a child of a killed parent lives, the folder is in use
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=one_thread, pass_fds=(self.lock,)
            )
        self.alive.add(child)
        status = child.wait()
        self.alive.discard(child)
        if status == 0:
            return None
        if status == FAILED:
            return _last_line(folder / "log.txt")
        reason = f"killed by signal {-status} (out of memory?)" if status < 0 else f"exit status {status}"
        return f"{reason}; see {folder / 'log.txt'}"


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[-1] if lines else "no reason given"


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Hold the folder as in use; yields the descriptor that does. Raises GqvaeError where another process holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise GqvaeError(f"another comparison is at work in {folder}: wait for it, or stop it") from None
        yield file.fileno()
