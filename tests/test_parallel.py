"""Work in several processes: what `map` gives, whatever dies, fails or is too large."""

import errno
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from itertools import islice
from operator import length_hint
from pathlib import Path
from typing import Any

import pytest

from gqvae.errors import GqvaeError
from gqvae.parallel import map_in_processes, pool
from gqvae.parallel.shelf import PLACE_BYTES, Shelf

HERE = os.getpid()


@pytest.fixture(autouse=True)
def nothing_chosen() -> None:
    """As in a program that has not said how processes start; a pool, as one test has, settles that for all others."""
    multiprocessing.set_start_method(None, force=True)  # type: ignore[arg-type]


def square(number: int) -> int:
    time.sleep(0.002 * (number % 3))
    return number * number


def who(_: int) -> int:
    time.sleep(0.005)
    return os.getpid()


def twice(data: bytes) -> bytes:
    return data + data


def dies_elsewhere(number: int) -> int:
    if os.getpid() != HERE:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def refuses_seven(number: int) -> int:
    if number == 7:
        raise ValueError("no seven", number)
    return number


def function_elsewhere(number: int) -> Any:
    return number if os.getpid() == HERE else lambda: number


class Unspeakable:
    """Says why it cannot be pickled in a way that cannot be pickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        raise ValueError(lambda: self)


def refuse() -> None:
    raise ValueError("unreadable")


class Unreadable:
    """Can be pickled, but not read again."""

    def __reduce__(self) -> tuple[Any, ...]:
        return refuse, ()


def unspeakable_elsewhere(number: int) -> Any:
    return number if os.getpid() == HERE else Unspeakable()


class Notes:
    """Numbers that this process has seen, or heard of."""

    def __init__(self) -> None:
        self.known: set[int] = set()
        self.fresh: set[int] = set()

    def note(self, number: int) -> tuple[int, int]:
        time.sleep(0.005)
        self.known.add(number)
        self.fresh.add(number)
        return os.getpid(), len(self.known)

    def news(self) -> set[int] | None:
        fresh, self.fresh = self.fresh, set()
        return fresh or None

    def learn(self, news: set[int]) -> None:
        self.known |= news

    def quiet(self) -> None:
        self.known.add(-1)


@pytest.mark.parametrize("workers", [0, 1, 2, 4])
@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_processes_give_what_map_gives(workers: int, count: int) -> None:
    assert list(map_in_processes(square, range(count), workers)) == [*map(square, range(count))]
    assert not multiprocessing.active_children()


def test_all_processes_work_this_one_too() -> None:
    found = list(map_in_processes(who, range(60), 3))
    assert len(set(found)) == 3
    assert HERE in found[1:]


@pytest.mark.parametrize("workers", [2, 3])
def test_processes_hear_what_others_found(workers: int) -> None:
    notes = Notes()
    last = dict(map_in_processes(notes.note, range(90), workers, learner=notes))
    assert len(last) == workers
    assert sum(last.values()) > 90 + workers  # each alone would know its share, and the first
    assert notes.known == {*range(90), -1}


@pytest.mark.parametrize("size", [1, 100_000, PLACE_BYTES // 2, PLACE_BYTES + 1])
def test_items_and_results_of_any_size_travel(size: int) -> None:
    items = [bytes([number]) * size for number in range(30)]
    assert list(map_in_processes(twice, items, 2)) == [*map(twice, items)]


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs nameless files")
def test_items_and_results_lie_in_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    told = []

    class Watched(Shelf):
        def get(self, place: int, given: int | bytes) -> Any:
            told.append(given)
            return super().get(place, given)

    monkeypatch.setattr(pool, "Shelf", Watched)
    items = [bytes([number]) * 100_000 for number in range(30)]
    assert list(map_in_processes(twice, items, 2)) == [*map(twice, items)]
    assert told
    assert {type(length) for length in told} == {int}


@pytest.mark.parametrize("file", [None, "/dev/full"])
def test_without_shared_memory_they_go_through_pipes(file: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if file:
        monkeypatch.setattr(os, "memfd_create", lambda _: os.open(file, os.O_RDONLY), raising=False)
    else:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    items = [bytes([number]) * 100_000 for number in range(30)]
    assert list(map_in_processes(twice, items, 2)) == [*map(twice, items)]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs to count open files")
def test_nothing_stays_open() -> None:
    gc.disable()  # which would close what is left, sooner or later
    try:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            assert list(map_in_processes(square, range(20), 3)) == [*map(square, range(20))]
            assert list(islice(map_in_processes(square, range(20), 3), 3)) == [0, 1, 4]
        assert len(os.listdir("/proc/self/fd")) == before
    finally:
        gc.enable()


def test_what_cannot_be_read_elsewhere_is_told_as_it_is() -> None:
    with pytest.raises(ValueError, match="unreadable"):
        list(map_in_processes(type, [*range(5), *[Unreadable()] * 50], 2))


def test_few_items_are_read_ahead() -> None:
    numbers = iter(range(200))
    for given, _ in enumerate(map_in_processes(square, numbers, 2)):
        assert 200 - length_hint(numbers) - given <= 4 * 2 + 1


def squares(count: int) -> list[int]:
    return list(map_in_processes(square, range(count), workers=2))


def test_a_process_that_may_have_no_children_does_it_all() -> None:
    """One of a pool, or of a DataLoader."""
    with multiprocessing.Pool(1) as pool:
        assert pool.apply(squares, (5,)) == [0, 1, 4, 9, 16]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_worker_is_told() -> None:
    with pytest.raises(GqvaeError, match="worker process died"):
        list(map_in_processes(dies_elsewhere, range(1000), 2))
    assert not multiprocessing.active_children()


def test_what_a_function_raises_comes_after_the_results_before_it() -> None:
    results = map_in_processes(refuses_seven, range(1000), 2)
    assert list(islice(results, 7)) == list(range(7))
    with pytest.raises(ValueError, match="no seven") as raised:
        next(results)
    assert raised.value.args == ("no seven", 7)
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("what", ["multiprocessing.process.BaseProcess.start", "gqvae.parallel.pool.Pipe"])
def test_a_process_that_cannot_start_is_told_and_holds_nothing(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(what, refuse)
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    with pytest.raises(GqvaeError, match=r"cannot start \(Resource temporarily unavailable\): try fewer workers"):
        list(map_in_processes(square, range(10), 3))
    assert not before or len(os.listdir("/proc/self/fd")) == before


def test_a_result_that_cannot_travel_is_told() -> None:
    with pytest.raises(Exception, match=r"pickle|local object"):
        list(map_in_processes(function_elsewhere, range(1000), 2))


def test_a_result_that_cannot_even_be_told_of_ends_the_work() -> None:
    with pytest.raises(GqvaeError, match="worker process died"):
        list(map_in_processes(unspeakable_elsewhere, range(1000), 2))
    assert not multiprocessing.active_children()


def test_processes_end_when_no_more_is_asked_for() -> None:
    results = map_in_processes(square, range(1000), 3)
    assert list(islice(results, 4)) == [0, 1, 4, 9]
    assert len(multiprocessing.active_children()) == 2
    del results
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("method", sorted({*multiprocessing.get_all_start_methods()} - {"fork"}))
def test_processes_need_not_be_forked(method: str, shared: bool) -> None:
    program = (
        "import multiprocessing, os\n"
        f"if not {shared}: vars(os).pop('memfd_create', None)\n"
        "from gqvae.parallel import map_in_processes\n"
        f"multiprocessing.set_start_method('{method}')\n"
        "assert list(map_in_processes(bin, range(9), 2)) == list(map(bin, range(9)))\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.skipif(sys.platform != "linux", reason="it is Linux that forks")
def test_children_have_what_is_in_memory_and_programs_need_no_guard() -> None:
    """As by default before Python 3.14."""
    program = (
        "import time\n"
        "from gqvae.parallel import map_in_processes\n"
        "done = []\n"
        "def knows_the_first(number): time.sleep(0.01); done.append(number); return 0 in done\n"
        "print(all(map_in_processes(knows_the_first, range(99), 2)))\n"
    )
    told = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert told.stdout == "True\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that can be orphaned")
def test_workers_end_with_a_killed_parent() -> None:
    program = (
        "import os, time\n"
        "from gqvae.parallel import map_in_processes\n"
        "def work(number): os.write(1, b'%d\\n' % os.getpid()); time.sleep(0.05)\n"
        "list(map_in_processes(work, range(1000), 4))\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        workers = {int(process.stdout.readline()) for _ in range(20)}
        process.kill()
    assert len(workers) == 4
    until = time.monotonic() + 20
    while any(map(_alive, workers)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(_alive, workers))


def _alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split(")")[1].split()[0] != "Z"
    except OSError:
        return False
