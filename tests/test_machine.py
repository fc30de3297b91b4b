"""What a process may have is what the least of its limits says."""

import os
import random
import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

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


@pytest.mark.parametrize("limited", [False, True])
def test_addresses_are_spared_under_a_limit_on_them(limited: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    arenas: list[tuple[int, int]] = []
    library = SimpleNamespace(mallopt=lambda *arguments: arenas.append(arguments))
    monkeypatch.setattr(machine.ctypes, "CDLL", lambda _: library)
    monkeypatch.setenv("ARROW_DEFAULT_MEMORY_POOL", "")  # so that it is put back, whatever it was
    monkeypatch.delenv("ARROW_DEFAULT_MEMORY_POOL")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (10**9 if limited else resource.RLIM_INFINITY, -1))
    machine.spare_addresses()
    assert arenas == [(-8, 1)] * limited
    assert os.environ.get("ARROW_DEFAULT_MEMORY_POOL") == ("system" if limited else None)


COUNT = """
import resource, sys
from pathlib import Path
from gqvae.corpus import Corpus
from gqvae.pretokens import Counting
resource.setrlimit(resource.RLIMIT_AS, (8_000_000_000, -1))
Counting(memory=400_000_000).to_file(Corpus((sys.argv[1],)).documents(), Path(sys.argv[2]), "gpt2", 64)
print(next(line for line in open("/proc/self/status") if line.startswith("VmPeak")).split()[1])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads what Linux tells")
def test_counting_takes_few_addresses_under_a_limit_on_them(tmp_path: Path) -> None:
    words = random.Random(0)
    text = tmp_path / "words.txt"
    text.write_text("".join(f"{words.getrandbits(60):x} " + "\n" * (number % 9 == 0) for number in range(700_000)))
    command = [sys.executable, "-c", COUNT, str(text), str(tmp_path / "table.parquet")]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    assert int(done.stdout) < 900_000  # KiB: 0.4 million; without care 1.6


def test_workers_are_as_many_as_cores_and_memory_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 2, 3, 9}, raising=False)
    for there_is, number in ((None, 4), (1000, 4), (299, 2), (99, 1)):
        monkeypatch.setattr(machine, "memory", lambda there_is=there_is: there_is)
        assert machine.workers(100) == number
    monkeypatch.delattr(os, "sched_getaffinity")  # not everywhere
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert machine.cores() == 3


def test_the_maker_of_the_processor_is_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for named, maker in (
        ("Intel64 Family 6 Model 207 Stepping 2, GenuineIntel", "GenuineIntel"),  # Windows
        ("AMD64 Family 25 Model 17 Stepping 1, AuthenticAMD", "AuthenticAMD"),
        ("arm", ""),
        ("", ""),
    ):
        monkeypatch.setattr(machine.platform, "processor", lambda named=named: named)
        assert machine.cpu_vendor(tmp_path) == maker
    write(tmp_path / "proc/cpuinfo", "processor\t: 0\nCPU implementer\t: 0x41\n")
    assert machine.cpu_vendor(tmp_path) == ""
    write(tmp_path / "proc/cpuinfo", "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\n")
    assert machine.cpu_vendor(tmp_path) == "AuthenticAMD"
    assert (machine.cpu_vendor() == "GenuineIntel") == ("GenuineIntel" in Path("/proc/cpuinfo").read_text())
