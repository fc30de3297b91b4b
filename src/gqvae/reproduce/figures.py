"""The figures of a comparison, those of the paper (3 to 7) and their stricter sisters, as matplotlib figures without a
display."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

from gqvae.files import replacing
from gqvae.reproduce.plan import BPE, BYTES, FIXED, GQVAE, MATCHED, SUPERWORD
from gqvae.reproduce.statistics import summary

Results = Mapping[str, Any]
Tokenizer = Mapping[str, Any]

# Okabe and Ito's colours, which colour-blind readers can tell apart: one a family, in every figure.
_COLOURS = {
    GQVAE: "#d55e00",
    SUPERWORD: "#e69f00",
    BPE: "#0072b2",
    FIXED: "#009e73",
    "Unigram": "#cc79a7",
    "WordPiece": "#8c6d31",
    "SuperBPE": "#56b4e9",
    BYTES: "#777777",
}
_SIZE = (9.0, 4.4)


def figures(results: Results) -> dict[str, Figure]:
    """By file name, those that the results have something for."""
    drawn: dict[str, Callable[[Results, Axes], bool]] = {
        "compression": _compression,
        "fixed-length": _sweep,
        "language-model-bytes": lambda results, axes: _curves(results, axes, "bytes"),
        "language-model-flops": lambda results, axes: _curves(results, axes, "flops"),
        "matched-compression": _matched,
        "frequencies": _frequencies,
    }
    found = {}
    for name, draw in drawn.items():
        figure = Figure(figsize=_SIZE, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        if draw(results, axes):
            found[name] = figure
    return found


def save(figure: Figure, path: Path) -> None:
    """Write the figure as `path`.svg and `path`.png; the same figure gives the same files."""
    with matplotlib.rc_context({"svg.hashsalt": "gqvae", "svg.fonttype": "none"}):
        for suffix, options in ((".svg", {"metadata": {"Date": None}}), (".png", {"dpi": 150})):
            with replacing(path.with_suffix(suffix)) as temporary:
                figure.savefig(temporary, format=suffix[1:], **options)


def _compression(results: Results, axes: Axes) -> bool:
    """Bytes per token against the size of the vocabulary (the paper's figure 3)."""
    sized = [t for t in results["tokenizers"] if t["role"] in ("main", "curve") and t["family"] != BYTES]
    for family in dict.fromkeys(tokenizer["family"] for tokenizer in sized):
        points = sorted(
            (t["measures"]["vocab_size"], t["measures"]["bytes_per_token"]) for t in sized if t["family"] == family
        )
        axes.plot(*zip(*points, strict=True), marker="o", color=_COLOURS.get(family), label=family)
    axes.set(xscale="log", xlabel="ids in the vocabulary", ylabel="bytes per token, held-out text")
    sizes = sorted({t["measures"]["vocab_size"] for t in sized})
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.xaxis.set_minor_formatter(NullFormatter())
    _legend(axes)
    return bool(sized)


def _sweep(results: Results, axes: Axes) -> bool:
    """Bytes per token of fixed-length tokenizers against their length (figure 4), bits per byte on the right."""
    sweep = sorted((t for t in results["tokenizers"] if t["role"] == "sweep"), key=lambda t: t["span"])
    spans = [tokenizer["span"] for tokenizer in sweep]
    axes.plot(
        spans, [_rate(t) for t in sweep], marker="o", color=_COLOURS[FIXED], label="fixed length: bytes per token"
    )
    for tokenizer in _main(results, (GQVAE, BPE)):
        colour = _COLOURS[tokenizer["family"]]
        axes.axhline(_rate(tokenizer), color=colour, linestyle="--", label=f"{tokenizer['label']}: bytes per token")
    axes.set(xlabel="k, bytes of a token", ylabel="bytes per token, held-out text", xticks=spans)
    bits = {t["span"]: means[-1] for t in sweep if (means := _mean_bits(results, t["key"]))}
    if bits:
        right = axes.twinx()
        right.plot(
            *zip(*bits.items(), strict=True), marker="s", linestyle=":", color="black", label="bits per byte (right)"
        )
        right.set(ylabel="language model, bits per byte")
        right.spines["top"].set_visible(False)
        _legend(axes, right)
    else:
        _legend(axes)
    return bool(sweep)


def _curves(results: Results, axes: Axes, against: str) -> bool:
    """Bits per byte against bytes of text seen, or against FLOPs (figure 5)."""
    swept = {t["key"] for t in results["tokenizers"] if t["role"] == "sweep"}
    of_peers = {row["peer"] for row in results["comparisons"]}
    shown = [t for t in results["tokenizers"] if t["key"] not in swept or t["key"] in of_peers]
    return _lines(results, shown, axes, against)


def _matched(results: Results, axes: Axes) -> bool:
    """GQ-VAE beside BPE of its vocabulary, and of its compression (figure 6)."""
    matched = [t for t in results["tokenizers"] if t["key"] == MATCHED]
    return bool(matched) and _lines(results, [*_main(results, (GQVAE, BPE)), *matched], axes, "bytes")


def _lines(results: Results, tokenizers: Iterable[Tokenizer], axes: Axes, against: str) -> bool:
    """The mean over seeds as a line, its 95% interval as a band."""
    found = False
    for tokenizer in tokenizers:
        groups = _points(results, tokenizer["key"])
        if not groups:
            continue
        found = True
        sums = [summary([point["bits_per_byte"] for point in group]) for group in groups]
        xs, means = [group[0][against] for group in groups], [each.mean for each in sums]
        colour = _COLOURS.get(tokenizer["family"])
        style = ":" if tokenizer["key"] == MATCHED else "-"
        axes.plot(xs, means, style, color=colour, marker=".", label=f"{tokenizer['label']}: {means[-1]:.3f}")
        bands = [each.interval or 0.0 for each in sums]
        low, high = ([mean + sign * band for mean, band in zip(means, bands, strict=True)] for sign in (-1, 1))
        axes.fill_between(xs, low, high, color=colour, alpha=0.15, linewidth=0)
    unit = "bytes of text seen" if against == "bytes" else "training FLOPs"
    axes.set(xscale="log", yscale="log", xlabel=unit, ylabel="bits per byte, held-out text")
    for formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        formatter(ScalarFormatter())
    _legend(axes, title="at the end")
    return found


def _frequencies(results: Results, axes: Axes) -> bool:
    """Relative frequency of tokens by rank (figure 7)."""
    shown = [t for t in results["tokenizers"] if t["role"] == "main" and t["measures"].get("frequencies")]
    for tokenizer in shown:
        counts = tokenizer["measures"]["frequencies"]
        total = sum(counts)
        axes.plot(
            range(1, len(counts) + 1),
            [count / total for count in counts],
            color=_COLOURS.get(tokenizer["family"]),
            label=tokenizer["label"],
        )
    axes.set(xscale="log", yscale="log", xlabel="rank of the token", ylabel="share of all tokens, held-out text")
    _legend(axes)
    return bool(shown)


def _rate(tokenizer: Tokenizer) -> float:
    return float(tokenizer["measures"]["bytes_per_token"])


def _main(results: Results, families: Sequence[str]) -> list[Tokenizer]:
    return [t for t in results["tokenizers"] if t["role"] == "main" and t["family"] in families]


def _points(results: Results, key: str) -> list[list[dict[str, Any]]]:
    """The measurements of one tokenizer's language models: a group for each time, in it one a seed."""
    curves = [probe["points"] for probe in results["probes"] if probe["tokenizer"] == key]
    return [list(group) for group in zip(*curves, strict=False)]


def _mean_bits(results: Results, key: str) -> list[float]:
    return [summary([point["bits_per_byte"] for point in group]).mean for group in _points(results, key)]


def _legend(*axes: Axes, title: str | None = None) -> None:
    """Beside the figure, where it hides nothing."""
    named = [pair for each in axes for pair in zip(*each.get_legend_handles_labels(), strict=True)]
    if named:
        handles, labels = zip(*named, strict=True)
        axes[0].figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=8, title=title)
