"""From finished cells to results.json, and the table of it."""

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gqvae.reproduce.schedule import Failures
from gqvae.reproduce.statistics import compare, summary
from gqvae.zoo.arms import DEFAULT
from gqvae.zoo.cells import ZooSpace, plan
from gqvae.zoo.settings import arm

Results = Mapping[str, Any]

FALLBACK = {"gates": "gates, nearest codes, fallback", "viterbi": "viterbi, nearest few codes, fallback"}
"""The stage of a distillation that is the network by itself, by how its objective has it segment."""

MEASURES = {
    "network_bytes_per_token": ("network, bytes/token", "{:.3f}"),
    "exact": ("exact", "{:.3f}"),
    "fallback_bytes_per_token": ("with fallback", "{:.3f}"),
    "codes_alone_bytes_per_token": ("strings of codes", "{:.3f}"),
    "tokenizer_bytes_per_token": ("tokenizer", "{:.3f}"),
    "strings": ("useful strings", "{:.0f}"),
    "use": ("codes used", "{:.2f}"),
    "perplexity": ("perplexity", "{:.0f}"),
    "near_duplicates": ("near-duplicates", "{:.2f}"),
    "duplicate_strings": ("strings lost", "{:.2f}"),
    "movement": ("movement", "{:.2f}"),
    "seconds": ("training, CPU s", "{:.0f}"),
}
"""Heading and format of each measure of a training; all on held-out text."""


def results_of(space: ZooSpace, failures: Failures) -> dict[str, Any]:
    """All figures; what failed is named, and missing."""
    from gqvae import __version__

    settings, done = space.settings(), space.done()
    finished = [done[cell.key] for cell in plan(settings, {}) if cell.key in done]
    trained = [found for found in finished if "network" in found]
    return {
        "gqvae": __version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "corpus": {"inputs": space.inputs(), "training_bytes": _size(space.training())},
        "config": settings.to_dict(),
        "arms": [_arm(key, [found for found in trained if found["arm"] == key]) for key in settings.arms],
        "costs": [found for found in finished if "ratio" in found],
        "failures": [{"cell": key, "error": error} for key, error in sorted(failures.items())],
    } | {"differences": _differences(settings.arms, trained)}


def measures(found: Results) -> dict[str, float | None]:
    """The figures of one training."""
    network, codebook, stages = found["network"], found["codebook"], found["stages"]
    return {
        "network_bytes_per_token": network["bytes_per_token"],
        "exact": network["exact_codes"],
        "fallback_bytes_per_token": stages[FALLBACK[found["mode"]]],
        "codes_alone_bytes_per_token": stages["strings of codes alone, fewest tokens"],
        "tokenizer_bytes_per_token": found["tokenizer"]["bytes_per_token"],
        "strings": codebook["useful"],
        "use": network["codes_used"] / codebook["codes"],
        "perplexity": network["perplexity"],
        "near_duplicates": network["near_duplicates"],
        "duplicate_strings": network["duplicate_strings"],
        "movement": network["movement"],
        "seconds": found["seconds"],
    }


def table(results: Results) -> str:
    """Markdown: a row an arm, means over its seeds; **bold** where it differs from the default by more than the 95%
    interval of the difference."""
    marked = {(row["arm"], row["measure"]) for row in results["differences"] if row["verdict"] in ("lower", "higher")}
    rows = []
    for found in results["arms"]:
        cells = []
        for measure, (_, form) in MEASURES.items():
            value = found["measures"].get(measure)
            text = "" if value is None else form.format(value["mean"])
            cells.append(f"**{text}**" if (found["arm"], measure) in marked else text)
        rows.append([found["label"], str(found["seeds"]), *cells])
    return markdown(["quantizer", "seeds", *(heading for heading, _ in MEASURES.values())], rows)


def cost_table(results: Results) -> str:
    """Markdown: processor time of a step over that of the default, and megabytes at the peak, by number of codes."""
    sizes = results["config"]["cost_sizes"]
    found = {(row["arm"], row["codes"]): row for row in results["costs"]}
    rows = []
    for key in dict.fromkeys(row["arm"] for row in results["costs"]):
        cells = [found.get((key, size)) for size in sizes]
        times = ["" if cell is None else f"{cell['ratio']:.2f}" for cell in cells]
        rows.append([arm(key).label, *times, *("" if cell is None else f"{cell['megabytes']:,.0f}" for cell in cells)])
    headings = [f"time at {size:,}" for size in sizes] + [f"MB at {size:,}" for size in sizes]
    return markdown(["quantizer", *headings], rows)


def tables(results: Results) -> str:
    """Both, the second where steps were measured."""
    return table(results) + (f"\n{cost_table(results)}" if results["costs"] else "")


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (columns, ["---"] * len(columns), *rows))


def _arm(key: str, found: Sequence[Results]) -> dict[str, Any]:
    columns = {name: [measures(each)[name] for each in found] for name in MEASURES}
    known = {name: [value for value in column if value is not None] for name, column in columns.items()}
    return {
        "arm": key,
        "label": arm(key).label,
        "seeds": len(found),
        "codes": found[0]["codebook"]["codes"] if found else None,
        "lossless": all(each["tokenizer"]["lossless"] for each in found),
        "measures": {
            name: {"mean": (of := summary(values)).mean, "interval": of.interval, "values": values}
            for name, values in known.items() if values
        },
        "use_by_rank": [{key: each["network"][key] for key in ("use_by_rank", "ideal_by_rank")} for each in found],
    }  # fmt: skip


def _differences(arms: Iterable[str], trained: Sequence[Results]) -> list[dict[str, Any]]:
    """The difference of each arm from the default, with Welch's interval."""
    rows = []
    of = {key: [measures(found) for found in trained if found["arm"] == key] for key in {*arms, DEFAULT}}
    for key in arms:
        for name in MEASURES:
            ours, theirs = ([row[name] for row in of[each] if row[name] is not None] for each in (key, DEFAULT))
            if key != DEFAULT and ours and theirs:
                rows.append({"arm": key, "measure": name, **compare(ours, theirs).to_dict()})  # type: ignore[arg-type]
    return rows


def _size(documents: Iterable[str]) -> int:
    return sum(len(document.encode()) for document in documents)
