"""The exact neural segmentation of a corpus, each distinct pretoken once and unpadded, against the paper's scheme.

The paper runs the network on every occurrence, padded to the window. That is timed on a sample of occurrences and
scaled up to all of them; ours is timed whole. The model is the same, and so is the way to place tokens (gates).
"""

import random
from pathlib import Path

import torch
from timing import keep, parser, side_by_side

from gqvae.learn.run import Run

SAMPLE = 2_000


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("run", type=Path, help="the folder of a run")
    given = arguments.parse_args()
    torch.set_num_threads(1)
    run = Run.open(given.run)
    segmenter, table, window = run.segmenter("gates", run.trained_model()), run.table, run.config.pretokens.window
    counts = table.counts.tolist()
    drawn = random.Random(0).choices(table.pieces, counts, k=SAMPLE)
    padded = [piece.ljust(window, "\0") for piece in drawn]
    seconds = side_by_side(
        {"padded": lambda: segmenter.segment(padded), "distinct": lambda: segmenter.segment(table.pieces)},
        given.repeats,
    )
    scheme = seconds["padded"] * sum(counts) / SAMPLE
    text = f"{table.total_bytes:,} bytes, {sum(counts):,} pretokens of which {len(counts):,} distinct, window {window}"
    about = f"{given.run} (made by python runs/remake.py): {text}; the paper's scheme timed on {SAMPLE:,}"
    keep("segmentation", about, [{"what": "distinct, unpadded", "x the paper's": scheme / seconds["distinct"]}])


if __name__ == "__main__":
    main()
