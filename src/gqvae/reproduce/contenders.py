"""Making each tokenizer of a comparison, and measuring it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gqvae.evaluation.fixed import FixedLengthTokenizer
from gqvae.evaluation.intrinsic import measure, read_parallel, relative_speed
from gqvae.evaluation.metrics import TokenizerLike
from gqvae.evaluation.peers import bpe_of_compression, train_peer
from gqvae.evaluation.trained import SMALLEST_PEER
from gqvae.files import read_json
from gqvae.learn.distill import distill
from gqvae.names import load
from gqvae.presets import preset
from gqvae.pretokens import count_pretokens
from gqvae.reproduce.encoded import Encoded
from gqvae.reproduce.learned import trained
from gqvae.reproduce.plan import BPE, BYTES, FIXED, GQVAE, MATCHED, SUPERWORD, Contender
from gqvae.reproduce.workspace import Workspace

PATTERN = preset("tiny").pretokens.pattern
LARGEST = 16
"""Times the vocabulary that BPE may grow to, to reach GQ-VAE's compression."""


def make_contender(cell: Contender, space: Workspace) -> dict[str, Any]:
    """Make the tokenizer of a cell, keep the ids of all documents, and measure it. A training that was cut off goes
    on."""
    tokenizer = _MAKERS.get(cell.family, _peer)(cell, space)
    training, held_out = space.training(), space.held_out()
    for documents, name in ((training, "train"), (held_out, "held_out")):
        Encoded.of(tokenizer, documents).save(space.cell(cell.key) / f"{name}.parquet")
    parallel = read_parallel(space.parallel) if space.parallel.exists() else None
    measures: dict[str, Any] = dict(measure(tokenizer, held_out, training, parallel))
    reference = train_peer(f"bpe:{space.settings().vocab_size}", training)
    measures["relative_speed"] = relative_speed(tokenizer, reference, held_out)
    found = {"key": cell.key, "family": cell.family, "label": cell.label, "role": cell.role, "span": cell.span}
    report = space.cell(cell.key) / "tokenizer" / "report.json"
    return found | {"measures": measures} | ({"distilled": read_json(report)} if report.exists() else {})


def _gqvae(cell: Contender, space: Workspace) -> TokenizerLike:
    settings = space.settings()
    return load(_distilled(cell, space, "tiny", [f"training.steps={settings.steps}"]))


def _superword(cell: Contender, space: Workspace) -> TokenizerLike:
    settings = space.settings()
    base = str(space.cell(cell.needs[0]) / "tokenizer") if cell.needs else f"words:{settings.base_size}"
    chosen = [f"pretokens.base={base}", f"training.steps={settings.superword_steps}"]
    return load(_distilled(cell, space, "superword", chosen))


def _fixed(cell: Contender, space: Workspace) -> TokenizerLike:
    assert cell.span is not None
    pieces = count_pretokens(space.training(), pattern=PATTERN, window=cell.span).pieces
    # of two bytes, a text may have fewer than asked for
    possible = SMALLEST_PEER + sum(len(piece) > 1 for piece in pieces)
    chosen = [f"vocab_size={min(cell.ids, possible)}", f"training.steps={space.settings().fixed_steps}"]
    chosen += [f"pretokens.window={cell.span}", f"model.longest_token={cell.span}"]
    return FixedLengthTokenizer(load(_distilled(cell, space, "tiny", chosen)), cell.span)


def _bpe(cell: Contender, space: Workspace) -> TokenizerLike:
    if cell.key != MATCHED:
        return train_peer(f"bpe:{cell.ids}", space.training())
    wanted = space.done()[cell.needs[0]]["measures"]["bytes_per_token"]
    return bpe_of_compression(space.training(), wanted, space.held_out(), LARGEST * cell.ids)


def _peer(cell: Contender, space: Workspace) -> TokenizerLike:
    kind = "bpe" if cell.family == BYTES else cell.key.partition("-")[0]  # without merges, BPE has the bytes
    return train_peer(f"{kind}:{cell.ids}", space.training())


_MAKERS: dict[str, Callable[[Contender, Workspace], TokenizerLike]] = {
    GQVAE: _gqvae,
    SUPERWORD: _superword,
    FIXED: _fixed,
    BPE: _bpe,
}


def _distilled(cell: Contender, space: Workspace, name: str, chosen: list[str]) -> Path:
    """The folder of the tokenizer that a training gives."""
    settings, folder = space.settings(), space.cell(cell.key)
    given = [f"vocab_size={cell.ids}", f"seed={settings.seeds[0]}", "training.threads=1", *chosen, *settings.tokenizer]
    trained(space, preset(name).override(given), folder / "run")
    distill(folder / "run", folder / "tokenizer", name=cell.key)
    return folder / "tokenizer"
