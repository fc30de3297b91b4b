"""Which cells a comparison has: a pure function of its settings and of what is finished.

A cell is one piece of work that is done once and kept: a tokenizer (made, and measured), or one training of a language
model on one tokenizer's ids. The best of the fixed-length tokenizers is known only after each has been tried with one
seed; then the plan grows by its other seeds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gqvae.evaluation.trained import SMALLEST_PEER
from gqvae.reproduce.settings import ReproduceSettings

GQVAE, SUPERWORD, FIXED, BPE, BYTES = "GQ-VAE", "GQ-VAE, superword", "fixed-length VQ-VAE", "BPE", "bytes"
PEERS = {"unigram": "Unigram", "wordpiece": "WordPiece", "superbpe": "SuperBPE"}
MATCHED = "bpe-matched"
Results = Mapping[str, dict[str, Any]]
"""What finished cells gave, by key; a cell that failed may stand among them (`with_failures`)."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A cell that makes a tokenizer.

    role: "main" for those of the vocabulary compared, "curve" for other sizes, "sweep" for the fixed-length ones,
    "matched" for the BPE of GQ-VAE's compression. ids: vocabulary asked for. span: k of a fixed-length one.
    """

    key: str
    family: str
    label: str
    role: str
    ids: int
    span: int | None = None
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A cell that trains a language model."""

    key: str
    contender: str
    seed: int

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.contender,)


Cell = Contender | Probe


def plan(settings: ReproduceSettings, done: Results) -> list[Cell]:
    """All cells known so far, those that others need first, the long ones before the short."""
    contenders = plan_contenders(settings)
    compared = [contender.key for contender in contenders if contender.role in ("main", "matched")]
    first, *others = settings.seeds
    sweep = [contender.key for contender in contenders if contender.role == "sweep"]
    probes = [_probe(key, first) for key in (*compared, *sweep)]
    best = best_fixed(settings, done)
    probes += [_probe(key, seed) for seed in others for key in (*compared, *([best] if best else []))]
    return [*contenders, *probes]


def plan_contenders(settings: ReproduceSettings) -> list[Contender]:
    """The tokenizers."""
    ids, sizes = settings.vocab_size, sorted({*settings.curve, settings.vocab_size})
    found = [_sized("gqvae", GQVAE, size, ids) for size in sizes]
    if settings.superword:
        # one of the curve may be what it reads
        base = f"gqvae-{settings.base_size}"
        needs = (base,) if settings.base_size in sizes else ()
        label = f"{SUPERWORD}, {ids:,} ids"
        found.append(
            Contender(key=f"superword-{ids}", family=SUPERWORD, label=label, role="main", ids=ids, needs=needs)
        )
    found += [
        Contender(key=f"fixed-{span}", family=FIXED, label=f"{FIXED}, k = {span}", role="sweep", ids=ids, span=span)
        for span in settings.spans
    ]
    found += [_sized("bpe", BPE, size, ids) for size in sizes]
    label = "BPE of GQ-VAE's compression"
    found.append(Contender(key=MATCHED, family=BPE, label=label, role="matched", ids=ids, needs=(f"gqvae-{ids}",)))
    peers = dict(PEERS) if settings.superword else {key: name for key, name in PEERS.items() if key != "superbpe"}
    found += [_sized(key, name, ids, ids) for key, name in peers.items()]
    found.append(Contender(key="bytes", family=BYTES, label="bytes", role="main", ids=SMALLEST_PEER))
    return sorted(found, key=lambda contender: bool(contender.needs))


def best_fixed(settings: ReproduceSettings, done: Results) -> str | None:
    """The fixed-length tokenizer whose language model has the fewest bits per byte with the first seed, once each was
    tried; None before, and where none was finished. What failed is out."""
    tried = {f"fixed-{span}": done.get(_probe(f"fixed-{span}", settings.seeds[0]).key) for span in settings.spans}
    bits = {key: found["points"][-1]["bits_per_byte"] for key, found in tried.items() if found and "points" in found}
    return min(bits, key=bits.__getitem__) if bits and all(tried.values()) else None


def with_failures(done: Results, failed: Iterable[str]) -> Results:
    """Finished cells, and those that failed, marked so."""
    return {**done, **{key: {"failed": True} for key in failed}}


def cell_of(settings: ReproduceSettings, key: str) -> Cell:
    """The cell of that key, whether or not the plan has come to it."""
    contenders = plan_contenders(settings)
    cells: list[Cell] = [_probe(contender.key, seed) for contender in contenders for seed in settings.seeds]
    return next(cell for cell in cells + contenders if cell.key == key)


def _sized(kind: str, family: str, size: int, main: int) -> Contender:
    role = "main" if size == main else "curve"
    return Contender(key=f"{kind}-{size}", family=family, label=f"{family}, {size:,} ids", role=role, ids=size)


def _probe(contender: str, seed: int) -> Probe:
    return Probe(key=f"probe-{contender}-seed{seed}", contender=contender, seed=seed)
