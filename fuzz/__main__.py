"""`python -m fuzz TARGET [--runs N] [--seconds S] [--seed N] [--random]`; with `--input FILE`, one input."""

import argparse
import importlib
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from fuzz import harness

TARGETS = sorted(
    path.stem for path in Path(__file__).parent.glob("[a-z]*.py") if path.stem not in ("harness", "inputs")
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Look for inputs that break a promise.")
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--runs", type=int, default=2**62, help="inputs; default: until stopped")
    parser.add_argument("--seconds", type=int, default=2**31, help="time to run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--random", action="store_true", help="without atheris: change seeds at random")
    parser.add_argument("--input", type=Path, help="run this one input")
    given = parser.parse_args()
    atheris = None if given.random or given.input else _atheris()
    with atheris.instrument_imports(include=["gqvae"]) if atheris else nullcontext():
        target = importlib.import_module(f"fuzz.{given.target}")
    if given.input:
        harness.watched(target.check, given.input.read_bytes())
    elif atheris:
        _with_atheris(atheris, target, given)
    else:
        harness.at_random(target.SEEDS, target.check, given.runs, given.seconds, given.seed)


def _atheris() -> Any:
    try:
        return importlib.import_module("atheris")
    except ImportError:
        print("atheris is not installed (pip install atheris): changing seeds at random instead", file=sys.stderr)
        return None


def _with_atheris(atheris: Any, target: Any, given: argparse.Namespace) -> None:
    """Runs until the end or the first broken promise, and then ends the process."""
    folder = harness.FOUND / f"{given.target}-inputs"
    folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(target.SEEDS):
        (folder / f"seed-{number}").write_bytes(data)
    options = [f"-max_total_time={given.seconds}", f"-seed={given.seed + 1}", "-print_final_stats=1", "-timeout=60"]
    options += [f"-runs={given.runs}"] if given.runs < 2**31 else []
    # libFuzzer's own bound counts what torch and pyarrow map; ours is in `watched`
    options += ["-rss_limit_mb=0", f"-artifact_prefix={harness.FOUND}/"]
    atheris.Setup([sys.argv[0], *options, str(folder)], partial(harness.watched, target.check))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
