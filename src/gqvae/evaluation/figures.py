"""Figures, as files. matplotlib without a display, imported when a figure is drawn."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gqvae.errors import GqvaeError
from gqvae.files import replacing


def draw_training(metrics: Sequence[dict[str, Any]], path: Path, *, title: str, bpe: float | None = None) -> None:
    """Draw a training from the rows of its metrics.jsonl into one PNG.

    Six panels: bytes per token (with `bpe`, that of a BPE tokenizer, as a line to reach), gates as tokens per pretoken
    soft and hard, the last gate histogram, the codebook, its health, and the use of codes by rank after the last step
    beside that of the fewest of their strings. Raises GqvaeError without rows.
    """
    if not metrics:
        raise GqvaeError(f"no metrics to draw into {path}: the training logged nothing")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(16, 7), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    ((compression, gates, health), (histogram, codebook, ranks)) = figure.subplots(2, 3)
    steps = [row["step"] for row in metrics]

    def line(axes: Any, key: str, label: str, **style: Any) -> None:
        axes.plot(steps, [row[key] for row in metrics], label=label, **style)

    line(compression, "bytes_per_token", "the network, held-out pretokens")
    if bpe is not None:
        compression.axhline(bpe, color="grey", linestyle="--", label="BPE, same number of ids, held-out text")
    compression.set(title="bytes per token", xlabel="step")

    line(gates, "tokens_per_pretoken_soft", "soft")
    line(gates, "tokens_per_pretoken_hard", "hard")
    gates.set(title="gates: tokens per pretoken", xlabel="step")

    counts = metrics[-1]["gate_histogram"]
    width = 1 / len(counts)
    total = sum(counts) or 1
    histogram.bar([(n + 0.5) * width for n in range(len(counts))], [c / total for c in counts], width=0.9 * width)
    histogram.set(title="gates after the last step", xlabel="probability that a token ends", ylabel="share")

    line(codebook, "codes_used", "codes used")
    line(codebook, "perplexity", "perplexity")
    codebook.set(title="codebook", xlabel="step", ylabel="codes", ylim=(0, None))
    shares = codebook.twinx()
    line(shares, "exact_codes", "exact codes (right axis)", color="tab:green")
    shares.set(ylim=(0, 1))
    handles = [*codebook.get_lines(), *shares.get_lines()]
    codebook.legend(handles=handles, labels=[str(handle.get_label()) for handle in handles])

    line(health, "codes_always_exact", "always exact, of those in use")
    line(health, "duplicate_strings", "string lost to a duplicate")
    line(health, "near_duplicates", "near another code")
    moved = [(row["step"], row["movement"]) for row in metrics if row["movement"] is not None]
    health.plot(*zip(*moved, strict=True) if moved else ((), ()), label="movement between resamplings", linestyle=":")
    health.set(title="health: share of codes; distance moved", xlabel="step", ylim=(0, None))

    for key, label, style in (("use_by_rank", "the network", "-"), ("ideal_by_rank", "fewest strings", "--")):
        shares_by_rank = metrics[-1][key]
        ranks.loglog([2**n for n in range(len(shares_by_rank))], shares_by_rank, style, label=label)
    ranks.set(title="use of codes after the last step", xlabel="rank", ylabel="share of tokens")
    for axes in (compression, gates, health, ranks):
        axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
