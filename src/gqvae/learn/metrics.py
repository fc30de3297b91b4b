"""What a training tells about itself: the rows of metrics.jsonl, and the early warning."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gqvae.errors import GqvaeError
from gqvae.files import read_bounded, replacing
from gqvae.learn import health
from gqvae.learn.data import Sample
from gqvae.learn.objectives import Outcome
from gqvae.learn.segmenter import Measures, NeuralSegmenter
from gqvae.learn.segments import open_lengths


def of_steps(window: Sequence[Outcome], longest: int) -> dict[str, Any]:
    """Means over the steps since the last row, and the gates of all their bytes.

    `soft` tokens are expected under the posterior (or the soft gates), `hard` ones those of gates above one half with
    the forced ones; `inner_gate_rate` leaves out the last byte of each pretoken, where a token always ends.
    """
    pretokens = sum(len(outcome.gates) for outcome in window)
    gates = torch.cat([outcome.gates.flatten() for outcome in window])
    inner = torch.cat([outcome.gates[:, :-1].flatten() for outcome in window])
    hard = sum(open_lengths((o.gates > 0.5).float(), longest)[1].sum().item() for o in window)
    return {
        "loss": _mean([outcome.loss for outcome in window]),
        "nats_per_byte": _mean([outcome.nats_per_byte for outcome in window]),
        "tokens_per_pretoken_soft": sum(o.soft_tokens.item() * len(o.gates) for o in window) / pretokens,
        "tokens_per_pretoken_hard": hard / pretokens,
        "gate_histogram": torch.histc(gates.float().cpu(), 10, 0, 1).long().tolist(),
        "inner_gate_rate": (inner > 0.5).float().mean().item() if len(inner) else 0.0,
    }


def of_segmentation(segmenter: NeuralSegmenter, sample: Sample) -> dict[str, Any]:
    """What the network makes of held-out pretokens, weighted by occurrence, before any fallback."""
    segmented = segmenter.segment(sample.pieces)
    measures = Measures.of(sample, segmented, segmenter.strings)
    return {
        "bytes_per_token": measures.bytes_per_token,
        "exact_codes": measures.exact_codes,
        "codes_used": measures.codes_used,
        "perplexity": measures.perplexity,
        **health.of_use(sample, segmented, segmenter.strings, segmenter.model.longest),
    }


def collapse(row: dict[str, Any]) -> str | None:
    """The early warning: what is wrong with the gates in a row of the metrics, if anything.

    The gater learns under both objectives; `marginal` segments without it.
    """
    if row["inner_gate_rate"] > 0.95:
        return "the gates have collapsed: nearly every byte ends a token by the gater; raise the price (or alpha)"
    if row["inner_gate_rate"] < 0.005 and row["exact_codes"] < 0.5:
        return "the gates have collapsed: tokens end only where forced, and codes do not say what they stand for"
    return None


def append(path: Path, row: dict[str, Any]) -> None:
    """Add a row. Raises GqvaeError when that fails."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    except OSError as error:
        raise GqvaeError(
            f"cannot write {path}: {error.strerror or error}; make room, then continue with --resume"
        ) from error


def read(path: Path) -> list[dict[str, Any]]:
    """All rows. Raises GqvaeError that names file and line."""
    rows = []
    for number, line in enumerate(read_bounded(path).splitlines(), 1):
        try:
            rows.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise GqvaeError(f"{path}:{number}: not valid JSON: {error}") from error
    return rows


def forget_after(path: Path, step: int) -> float:
    """Drop the rows of steps that will be taken again, and a last line that a kill cut short.

    Returns the seconds that the rest took. Raises GqvaeError for a line before the last that is no row of metrics.
    """
    if not path.exists():
        return 0.0
    kept, seconds = [], 0.0
    lines = path.read_bytes().splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            if row["step"] <= step:
                kept.append(line.rstrip(b"\n") + b"\n")  # which a power cut may have left without its end
                seconds = float(row["seconds"])
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            if number < len(lines):
                raise GqvaeError(f"{path}:{number}: no row of metrics ({error}); delete the line to go on") from error
    with replacing(path) as temporary:
        temporary.write_bytes(b"".join(kept))
    return seconds


def _mean(values: list[Tensor]) -> float:
    return torch.stack([value.float() for value in values]).mean().item()
