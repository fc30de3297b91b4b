"""Running a target: with atheris, which looks for new paths through the code, or by changing seeds at random.

A target is a module with `SEEDS`, inputs to start from, and `check(data)`, which returns for every input whose promise
holds and raises for any other. Whatever an input does, it may not take more than SECONDS of the processor nor bring
the process over MEBIBYTES.
"""

import hashlib
import random
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from fuzz.inputs import Choices, damaged

SECONDS = 20.0
MEBIBYTES = 3000
FOUND = Path("out") / "fuzz"


def watched(check: Callable[[bytes], None], data: bytes) -> None:
    """`check`, held to the bounds; what breaks a promise is kept in a file."""
    before = time.process_time()
    try:
        check(data)
        spent = time.process_time() - before
        assert spent < SECONDS, f"took {spent:.0f} seconds"
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        assert peak < MEBIBYTES, f"took {peak} MiB"
    except BaseException as error:
        if not isinstance(error, KeyboardInterrupt):
            FOUND.mkdir(parents=True, exist_ok=True)
            path = FOUND / hashlib.sha256(data).hexdigest()[:16]
            path.write_bytes(data)
            print(f"\n{type(error).__name__} on the input in {path}", file=sys.stderr)
        raise


def mutated(seeds: Sequence[bytes], generator: random.Random) -> bytes:
    """Some seed, changed, or random bytes."""
    size = int(2 ** generator.uniform(0, 10))
    if generator.random() < 0.3:
        return generator.randbytes(size)
    choices = Choices(generator.randbytes(256))
    return damaged(generator.choice(seeds), choices)[:100_000]


def at_random(seeds: Sequence[bytes], check: Callable[[bytes], None], runs: int, seconds: float, seed: int) -> None:
    """So many inputs, or as many as the time allows, and then a line of figures."""
    generator, begin, done = random.Random(seed), time.monotonic(), 0
    for data in seeds:
        watched(check, data)
    while done < runs and time.monotonic() - begin < seconds:
        watched(check, mutated(seeds, generator))
        done += 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"{done:,} inputs in {time.monotonic() - begin:.0f} s, {peak} MiB at most, no promise broken")
