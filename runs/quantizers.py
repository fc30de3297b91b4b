"""Write the tables of docs/quantizers.md from runs/results: `python runs/quantizers.py`. Measures nothing itself.

runs/results/quantizers-*.json are the results.json of `gqvae compare-quantizers TEXT --out FOLDER --set ...` with the
settings that they name.
"""

from pathlib import Path
from typing import Any

from gqvae.files import read_json
from gqvae.zoo.results import cost_table, table
from gqvae.zoo.settings import ZooSettings

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "quantizers.md"
MARK = "<!-- from here on written by runs/quantizers.py -->\n"


def main() -> None:
    head, _, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    found = [read_json(path) for path in sorted((HERE / "results").glob("quantizers-*.json"))]
    found.sort(key=lambda results: results["config"]["steps"])
    PAGE.write_text(head + MARK + "".join(map(section, found)), encoding="utf-8")


def section(results: dict[str, Any]) -> str:
    """What was run, what it gave, and what failed."""
    config, corpus = results["config"], results["corpus"]
    settings = {key: _text(value) for key, value in config.items() if key != "arms"}
    default = {key: _text(value) for key, value in ZooSettings().to_dict().items()}
    changed = [f"`{key}={value}`" for key, value in settings.items() if value != default[key]]
    failed = [f"- `{row['cell']}`: {row['error']}" for row in results["failures"]] or ["None."]
    seeds = ", ".join(map(str, config["seeds"]))
    return f"""
### {", ".join(corpus["inputs"])}, {config["steps"]} steps

{corpus["training_bytes"]:,} bytes to train on, {config["vocab_size"]} ids, seeds {seeds}; settings that are not the
defaults: {", ".join(changed)}.
All on held-out text, means over the seeds; **bold** where it differs from the default's by more than the 95% interval
of the difference (Welch).

{table(results)}{_costs(results)}
Failed: {chr(10).join(failed)}
"""


def _costs(results: dict[str, Any]) -> str:
    if not results["costs"]:
        return ""
    return f"""
Processor time of a training step over the default's (both in turns in one process), and how far the process grows
({results["config"]["cost_symbols"]} symbols a step):

{cost_table(results)}"""


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


if __name__ == "__main__":
    main()
