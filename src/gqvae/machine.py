"""What the machine lets this process have."""

import ctypes
import os
import platform
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_M_ARENA_MAX = -8  # of mallopt, in glibc's malloc.h


def memory(root: Path = Path("/")) -> int | None:
    """Bytes of memory that this process may have by its control groups, its limits and the machine; None: unknown.

    root: where to look for `proc` and `sys`.
    """
    return min(
        (*_of_control_groups(root), *_of_limit("RLIMIT_AS"), *_of_limit("RLIMIT_DATA"), *_of_machine()), default=None
    )


def workers(each: int) -> int:
    """One a core, but no more than may have `each` bytes of memory; at least 1."""
    bytes_ = memory()
    return cores() if bytes_ is None else max(1, min(cores(), bytes_ // each))


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_vendor(root: Path = Path("/")) -> str:
    """The vendor that the processor names, such as "GenuineIntel" or "AuthenticAMD"; "" where that is unknown.

    root: where to look for `proc`.
    """
    described = platform.processor()  # on Windows it ends with the maker
    with suppress(OSError):
        described = (root / "proc/cpuinfo").read_text()
    found = re.search(r"^vendor_id\s*: (\S+)|(Genuine|Authentic)\w+$", described, re.MULTILINE)
    return (found[1] or found[0]) if found else ""


def spare_addresses() -> None:
    """Under a limit on addresses (`ulimit -v`), have allocators reserve little more than is used: glibc takes 64 MiB of
    them for each thread, and Arrow's own allocator, where Arrow is not in use yet, by the gigabyte. It stays so."""
    if any(_of_limit("RLIMIT_AS")):
        os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
        with suppress(OSError, AttributeError):  # another C library than glibc
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def _of_control_groups(root: Path) -> Iterator[int]:
    """Memory limits of cgroups, version 1 and 2. In a container the path may be the host's; then the root, tried last,
    has the limit."""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers in ("", "memory"):
                folder = root / "sys/fs/cgroup" / controllers / path.lstrip("/")
                file = "memory.limit_in_bytes" if controllers else "memory.max"
                for place in (folder, *folder.parents):
                    with suppress(OSError, ValueError):  # no such group, or no limit: "max"
                        yield int((place / file).read_text())


def _of_limit(name: str) -> Iterator[int]:
    with suppress(ImportError):  # Windows
        import resource

        soft, _ = resource.getrlimit(getattr(resource, name))
        if soft != resource.RLIM_INFINITY:
            yield soft


def _of_machine() -> Iterator[int]:
    with suppress(AttributeError, ValueError):  # Windows
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
