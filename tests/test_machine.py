"""What a process may have is what the least of its limits says."""

import os
import resource
from pathlib import Path

import pytest

from gqvae import machine

PAGES = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_control_groups_limit_all_below_them(tmp_path: Path) -> None:
    assert machine.memory(tmp_path) == PAGES
    write(tmp_path / "proc/self/cgroup", "4:memory:/a/b\n1:cpu,cpuacct:/c\n0::/d/e\n")
    assert machine.memory(tmp_path) == PAGES
    groups = tmp_path / "sys/fs/cgroup"
    write(groups / "d/e/memory.max", "max\n")
    write(groups / "d/memory.max", "5000\n")
    assert machine.memory(tmp_path) == 5000
    write(groups / "memory/a/b/memory.limit_in_bytes", "4000\n")
    assert machine.memory(tmp_path) == 4000
    write(groups / "memory.max", "3000\n")  # seen from within a container
    assert machine.memory(tmp_path) == 3000


def test_limits_of_the_process_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        found = {limit: (2000, 9000)}
        monkeypatch.setattr(resource, "getrlimit", lambda asked, found=found: found.get(asked, (-1, -1)))
        assert machine.memory(tmp_path) == 2000


def test_workers_are_as_many_as_cores_and_memory_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    for there_is, number in ((None, 4), (1000, 4), (299, 2), (99, 1)):
        monkeypatch.setattr(machine, "memory", lambda there_is=there_is: there_is)
        assert machine.workers(100) == number
