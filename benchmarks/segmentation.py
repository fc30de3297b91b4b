"""The exact neural segmentation of a corpus, each distinct pretoken once and unpadded, against the paper's scheme.

The paper runs the network on every occurrence, padded to the window, as `PapersScheme` does; that is timed on a sample
of occurrences and scaled up to all of them, ours is timed whole. The model is the same: `tiny` with 2,048 ids, trained
here for 100 steps, since time does not depend on what it has learned. The ratio has two factors, and the rows show
both: padded symbols over distinct ones, which grows with the text, and time per symbol.
"""

import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from timing import DATA, keep, parser, side_by_side
from torch import Tensor
from torch.nn import functional as F

from gqvae.corpus import Corpus
from gqvae.learn.alphabet import Alphabet, SymbolTable
from gqvae.learn.data import as_tensor
from gqvae.learn.model import GQVAE
from gqvae.learn.run import Run
from gqvae.learn.segmenter import Mode
from gqvae.learn.segments import lookback
from gqvae.learn.training import train
from gqvae.presets import preset
from gqvae.pretokens import Counting, count_pretokens

BATCH = 1_024
"""Occurrences that the paper's code batches, and the sample."""
MODES: tuple[Mode, ...] = ("gates", "viterbi")
TEXTS = ("tinystories_train.txt", "wikipedia_train.txt", "code_train.txt", "multilingual_train.txt")
"""The model is trained on the first."""
SHARES = (1, 4, 16)
"""The first text is also cut to these parts of it."""
SETTINGS = ["vocab_size=2048", "training.steps=100", "training.threads=1", "training.accelerator=cpu"]


class PapersScheme:
    """What the authors' code does for each batch: all logits, a one-hot matrix for the look-up, gates, and the decoder
    at every symbol, to see whether the codes spell the text."""

    def __init__(self, model: GQVAE) -> None:
        self.model = model

    @torch.no_grad()
    def __call__(self, pieces: Sequence[str], window: int) -> tuple[Tensor, Tensor, Tensor]:
        """Codes (B, T), whether a token ends there, and which of the last characters the code gets right (B, T, K)."""
        model, quantizer = self.model, self.model.quantizer
        pretokens = as_tensor([piece.ljust(window, "\0") for piece in pieces])
        projected = quantizer.project(model.encode(pretokens)).flatten(0, 1)
        one_hot = F.one_hot(quantizer.similarity(projected).argmax(1), quantizer.size).to(projected.dtype)
        vectors = quantizer.expand(one_hot @ quantizer.points()).view(*pretokens.shape, -1)
        ends = model.gate(vectors).sigmoid() > 0.5
        right = model.decode(vectors).characters.argmax(-1) == lookback(pretokens, model.longest)
        return one_hot.argmax(1).view_as(pretokens), ends, right


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("texts", nargs="*", type=Path, default=[DATA / name for name in TEXTS])
    given = arguments.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        corpus = Corpus((str(given.texts[0]),))
        run = train(preset("tiny").override(SETTINGS), corpus, Path(folder) / "run", counting=Counting(workers=1))
        model = run.trained_model()
        _check_same(run, model)
        tables = {text.stem: _table(run, text) for text in given.texts}
        first = given.texts[0]
        tables |= {f"{first.stem}, 1/{share}": _table(run, first, share) for share in SHARES[1:]}
        rows = [row for name, table in tables.items() for row in _rows(run, model, name, table, given.repeats)]
    about = (
        f"`tiny`, 2,048 ids, window {run.config.pretokens.window}; every padded occurrence timed on {BATCH:,} of them"
    )
    keep("segmentation", about, rows)


def _check_same(run: Run, model: GQVAE) -> None:
    """Without padding the paper's scheme finds the codes and the gates that ours finds."""
    pieces = [piece for piece in run.table.pieces if len(piece) == 6][:200]
    codes, ends, _ = PapersScheme(model)(pieces, 6)
    for row, segmented in enumerate(run.segmenter("gates", model).segment(pieces)):
        assert [codes[row, end - 1].item() for end in segmented.ends] == segmented.codes
        assert {end for end in range(1, 6) if ends[row, end - 1]} <= set(segmented.ends)


def _table(run: Run, text: Path, share: int = 1) -> SymbolTable:
    """The pretokens of the first documents of a text."""
    settings, documents = run.config.pretokens, list(Corpus((str(text),)).documents())
    some = documents[: len(documents) // share]
    counted = count_pretokens(some, pattern=settings.pattern, window=settings.window, workers=1)
    return SymbolTable.of(counted, Alphabet(), settings.window)


def _rows(run: Run, model: GQVAE, name: str, table: SymbolTable, repeats: int) -> list[dict[str, Any]]:
    window, counts = run.config.pretokens.window, table.counts.tolist()
    drawn = random.Random(0).choices(table.pieces, counts, k=BATCH)
    padded = [piece.ljust(window, "\0") for piece in drawn]
    segmenters = {mode: run.segmenter(mode, model) for mode in MODES}
    seconds = side_by_side(
        {"paper": lambda: PapersScheme(model)(drawn, window)}
        | {f"{mode}, padded": lambda mode=mode: segmenters[mode].segment(padded) for mode in MODES}
        | {mode: lambda mode=mode: segmenters[mode].segment(table.pieces) for mode in MODES},
        repeats,
        time.process_time,
    )
    occurrences, distinct = sum(counts), len(counts)
    times = occurrences / BATCH
    symbols = occurrences * window / sum(map(len, table.pieces))
    return [
        {
            "text": name, "bytes": table.total_bytes, "pretokens": occurrences, "distinct": distinct, "mode": mode,
            "padded symbols / distinct ones": symbols, "x the paper's": seconds["paper"] * times / seconds[mode],
            "x our network on every padded one": seconds[f"{mode}, padded"] * times / seconds[mode],
        }
        for mode in MODES
    ]  # fmt: skip


if __name__ == "__main__":
    main()
