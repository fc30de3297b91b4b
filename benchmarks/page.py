"""Write docs/benchmarks.md from benchmarks/results: `python benchmarks/page.py`. Measures nothing itself."""

from pathlib import Path
from typing import Any

from timing import RESULTS

from gqvae.files import read_json

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

Made by `python benchmarks/page.py` from `benchmarks/results`, which the programs in `benchmarks` write. All times are
ratios to a peer that ran in turn with ours, in the same process: medians. Nothing has been run on a GPU yet.
"""


def main() -> None:
    PAGE.write_text("\n".join([HEAD, *map(_section, sorted(RESULTS.glob("*.json")))]), encoding="utf-8")


def _section(path: Path) -> str:
    found = read_json(path)
    columns = list(dict.fromkeys(key for row in found["rows"] for key in row))
    rows = [columns, ["---"] * len(columns), *([_cell(row.get(key)) for key in columns] for row in found["rows"])]
    table = "".join(f"| {' | '.join(cells)} |\n" for cells in rows)
    about = f"`python benchmarks/{path.stem}.py`: {found['about']}. {found['machine']}."
    return f"## {path.stem.replace('_', ' ').capitalize()}\n\n{about}\n\n{table}"


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
