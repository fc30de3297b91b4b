"""What the benchmark programs share: timing things side by side, and keeping what was found."""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from gqvae import __version__, machine
from gqvae.files import write_json

DATA = Path(os.environ.get("GQVAE_DATA", Path(__file__).parent.parent.parent / "shared" / "data"))
RESULTS = Path(__file__).parent / "results"
Task = Callable[[], Any]
Key = TypeVar("Key")


def parser(description: str | None, text: str | None = None) -> argparse.ArgumentParser:
    """A parser with what all programs take: a text, by default the data's, and how often to repeat."""
    made = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    if text:
        made.add_argument("text", nargs="?", type=Path, default=DATA / text)
    made.add_argument("--repeats", type=int, default=5)
    return made


def tokenizers_and_texts(description: str | None, texts: Mapping[str, str]) -> tuple[int, dict[str, Path]]:
    """Parse the command line of a program that takes tokenizers. Returns how often to repeat, and the text of each
    tokenizer: the one that is given, or the one in `texts`, of the data, that it was trained on."""
    arguments = parser(description)
    arguments.add_argument("tokenizers", nargs="*", default=list(texts), help="names or folders")
    arguments.add_argument("--text", type=Path, help="for all of them, instead of those they were trained on")
    given = arguments.parse_args()
    if unknown := [name for name in given.tokenizers if name not in texts and not given.text]:
        arguments.error(f"which --text for {', '.join(unknown)}?")
    return given.repeats, {name: given.text or DATA / texts[name] for name in given.tokenizers}


def side_by_side(
    tasks: Mapping[Key, Task], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> dict[Key, float]:
    """Median seconds of each, run in turn, so that what else the machine does meets all alike."""
    seconds: dict[Key, list[float]] = {name: [] for name in tasks}
    for _ in range(repeats):
        for name, task in tasks.items():
            start = clock()
            task()
            seconds[name].append(clock() - start)
    return {name: statistics.median(found) for name, found in seconds.items()}


def keep(program: str, about: str, rows: list[dict[str, Any]]) -> None:
    """Print the rows, and write them to results/PROGRAM.json with where they were measured."""
    processor = f"{platform.machine()} {machine.cpu_vendor()}".strip()
    where = f"{processor}, {os.cpu_count()} cores, Python {platform.python_version()}"
    write_json(RESULTS / f"{program}.json", {"gqvae": __version__, "machine": where, "about": about, "rows": rows})
    print(about)
    for row in rows:
        print(
            "  ",
            ", ".join(
                f"{key}: {value:.3g}" if isinstance(value, float) else f"{key}: {value}" for key, value in row.items()
            ),
        )
