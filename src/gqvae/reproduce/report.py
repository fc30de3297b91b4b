"""The report of a comparison: one HTML file that needs nothing else, and its figures as files."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from gqvae.files import replacing
from gqvae.reproduce.figures import figures, save
from gqvae.reproduce.statistics import summary

Results = Mapping[str, Any]

CAPTIONS = {
    "compression": "Compression against vocabulary (the paper's figure 3). All ids count, bytes and specials too.",
    "fixed-length": "Tokens of k bytes (figure 4), beside learned and merged ones of as many ids.",
    "language-model-bytes": "Language models by the text they have seen (figure 5): mean over the seeds, 95% interval.",
    "language-model-flops": "The same models by what their training has computed.",
    "matched-compression": "GQ-VAE, BPE of as many ids, and the BPE that compresses as well (figure 6).",
    "frequencies": "How often each token occurs, by rank (figure 7).",
}
MEASURES = {
    "vocab_size": ("ids", "{:,}"),
    "bytes_per_token": ("bytes/token", "{:.4f}"),
    "tokens_per_word": ("tokens/word", "{:.3f}"),
    "whole_words": ("words whole", "{:.1%}"),
    "split_consistency": ("split alike", "{:.2%}"),
    "renyi_efficiency": ("Rényi efficiency", "{:.3f}"),
    "entropy_bits": ("entropy, bits", "{:.2f}"),
    "used_ids": ("ids used", "{:,}"),
    "dead_ids": ("dead ids", "{:,}"),
    "unreachable_ids": ("unreachable", "{:,}"),
    "parity": ("worst/best language", "{:.2f}"),
    "relative_speed": ("speed, x BPE", "{:.2f}"),
}
"""Heading and format of the columns of the table of tokenizers."""


def write_report(results: Results, folder: Path) -> None:
    """Write `report.html`, and `figures/*.svg` and `*.png`, into `folder`; what was not measured is said to be
    missing."""
    drawn = figures(results)
    for name, figure in drawn.items():
        save(figure, folder / "figures" / name)
    images = {name: _data_uri(folder / "figures" / f"{name}.svg") for name in drawn}
    template = Environment(
        loader=PackageLoader("gqvae.reproduce", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    ).get_template("report.html.j2")
    labels = {tokenizer["key"]: tokenizer["label"] for tokenizer in results["tokenizers"]}
    page = template.render(
        results=results,
        labels=labels,
        images=images,
        captions=CAPTIONS,
        headings=[heading for heading, _ in MEASURES.values()],
        rows=[(tokenizer["label"], _cells(tokenizer["measures"])) for tokenizer in results["tokenizers"]],
        models=_models(results),
        languages=_languages(results),
        notes={t["label"]: t["measures"]["note"] for t in results["tokenizers"] if t["measures"]["note"]},
        lossy=[t["label"] for t in results["tokenizers"] if not t["measures"]["lossless"]],
        config=json.dumps(results["config"], indent=2),
    )
    with replacing(folder / "report.html") as temporary:
        temporary.write_text(page, encoding="utf-8")


def _data_uri(path: Path) -> str:
    """The figure within the page: as an image of its own, no name in it meets one of another figure."""
    return "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode()


def _cells(measures: Mapping[str, Any]) -> list[str]:
    values = [(measures.get(key), form) for key, (_, form) in MEASURES.items()]
    return ["" if value is None else form.format(value) for value, form in values]


def _models(results: Results) -> list[dict[str, Any]]:
    """One row a tokenizer: its language models at their end."""
    rows = []
    for tokenizer in results["tokenizers"]:
        probes = [probe for probe in results["probes"] if probe["tokenizer"] == tokenizer["key"]]
        if probes:
            last = [probe["points"][-1] for probe in probes]
            rows.append(
                {
                    "label": tokenizer["label"],
                    "bits": summary([point["bits_per_byte"] for point in last]),
                    "separator": summary([point["separator_bits"] for point in last]).mean,
                    "bytes": last[0]["bytes"],
                    "flops": last[0]["flops"],
                    "parameters": probes[0]["parameters"],
                    "embedding": probes[0]["embedding_parameters"],
                    "context": probes[0]["context_tokens"],
                }
            )
    return sorted(rows, key=lambda row: row["bits"].mean)


def _languages(results: Results) -> dict[str, dict[str, int]]:
    """Tokens by language, for each tokenizer that was measured on several."""
    return {
        tokenizer["label"]: found
        for tokenizer in results["tokenizers"]
        if (found := tokenizer["measures"].get("tokens_per_language"))
    }
