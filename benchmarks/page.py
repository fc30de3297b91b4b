"""Write docs/benchmarks.md and its figure from benchmarks/results: `python benchmarks/page.py`. Measures nothing."""

from pathlib import Path
from typing import Any

from timing import RESULTS

from gqvae.files import read_json

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
FIGURE = PAGE.with_name("benchmarks.svg")
HEAD = """# Benchmarks

Made by `python benchmarks/page.py` from `benchmarks/results`, which the programs in `benchmarks` write. All times are
ratios to a peer that ran in turn with ours, in the same process: medians.
"""


def main() -> None:
    PAGE.write_text("\n".join([HEAD, *map(_section, sorted(RESULTS.glob("*.json")))]), encoding="utf-8")


def _draw(rows: list[dict[str, Any]]) -> None:
    """A group of bars for each tokenizer."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "gqvae"  # the same figures, the same file
    kinds = [key for key in rows[0] if key != "tokenizer"]
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    for number, kind in enumerate(kinds):
        places = [place + (number - (len(kinds) - 1) / 2) / (len(kinds) + 1) for place in range(len(rows))]
        axes.bar(places, [row[kind] for row in rows], 1 / (len(kinds) + 1), label=kind)
    axes.axhline(1, color="black", linewidth=1)
    axes.set_xticks(range(len(rows)), [row["tokenizer"].replace("-superword", "\nsuperword") for row in rows])
    axes.set_ylabel("times as fast as\nHugging Face BPE")
    axes.legend(ncols=len(kinds))
    figure.savefig(FIGURE, metadata={"Date": None})


def _section(path: Path) -> str:
    found = read_json(path)
    columns = list(dict.fromkeys(key for row in found["rows"] for key in row))
    rows = [columns, ["---"] * len(columns), *([_cell(row.get(key)) for key in columns] for row in found["rows"])]
    table = "".join(f"| {' | '.join(cells)} |\n" for cells in rows)
    if path.stem == "encoding":
        _draw(found["rows"])
        table += f"\n![Times as fast as Hugging Face BPE]({FIGURE.name})\n"
    about = f"`python benchmarks/{path.stem}.py`: {found['about']}. {found['machine']}."
    title = path.stem.replace("_", " ").capitalize().replace("Gpu", "GPU")
    return f"## {title}\n\n{about}\n\n{table}"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        value = float(f"{value:.3g}")
        return f"{value:,.0f}" if value >= 1_000 else f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else value or ""


if __name__ == "__main__":
    main()
