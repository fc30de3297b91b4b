"""Remake a bundled tokenizer, or another seed of it, and measure it: `runs/remake.py NAME [--seed N] [--bundle]`.

Trains and distills the recipe NAME (`recipes.toml`) in out/runs, then compares the tokenizer with peers of as many ids
that see the same training documents, on the documents both were kept from (5%, by hash), and on a second text where
there is one. Writes runs/results/NAME-seedN.json; --bundle puts gqvae.json among the package's data. What is finished
is not done again. The texts are looked for in $GQVAE_DATA.
"""

import argparse
import os
import shutil
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gqvae.corpus import Corpus, is_held_out
from gqvae.evaluation.metrics import TokenizerLike, compare, rate
from gqvae.evaluation.peers import train_peer
from gqvae.files import read_json, write_json
from gqvae.learn.distill import distill
from gqvae.learn.run import Run
from gqvae.learn.training import resume, train
from gqvae.names import load
from gqvae.presets import preset
from gqvae.tokenizer import Tokenizer

HERE = Path(__file__).parent
DATA = Path(os.environ.get("GQVAE_DATA", HERE.parent.parent / "shared" / "data"))
OUT = Path("out") / "runs"  # relative, as it is named in the provenance of stacked tokenizers
RESULTS = HERE / "results"
BUNDLED = HERE.parent / "src" / "gqvae" / "bundled"
PEERS = ("bpe",)
SUPERWORD_PEERS = ("bpe", "sentence-bpe", "superbpe")
SECOND_TEXTS = {"tinystories_train.txt": "tinystories_valid.txt"}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", help="a recipe of recipes.toml")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bundle", action="store_true", help="put the tokenizer among the package's data")
    given = parser.parse_args()
    tokenizer = make(given.name, given.seed)
    write_json(RESULTS / f"{given.name}-seed{given.seed}.json", measure(given.name, given.seed))
    if given.bundle:
        (BUNDLED / given.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(tokenizer / "gqvae.json", BUNDLED / given.name)


def recipe(name: str) -> dict[str, Any]:
    recipes = tomllib.loads((HERE / "recipes.toml").read_text(encoding="utf-8"))
    if name not in recipes:
        raise SystemExit(f"no recipe {name!r}; there are: {', '.join(recipes)}")
    found: dict[str, Any] = recipes[name]
    return found


def make(name: str, seed: int) -> Path:
    """The folder of the tokenizer; its base is made first, if it has one."""
    how = recipe(name)
    tokenizer, run = OUT / f"{name}-seed{seed}" / "tokenizer", OUT / f"{name}-seed{seed}" / "run"
    if (tokenizer / "report.json").exists():
        return tokenizer
    settings = [f"seed={seed}", "training.threads=1", *how.get("settings", [])]
    if "base" in how:
        settings.append(f"pretokens.base={make(how['base'], seed)}")
    if (run / "config.json").exists():
        resume(run)
    else:
        train(preset(how.get("preset", "tiny")).override(settings), Corpus((str(DATA / how["corpus"]),)), run)
    distill(run, tokenizer, name=name)
    return tokenizer


def measure(name: str, seed: int) -> dict[str, Any]:
    """The report of distillation, and the tokenizer beside its peers on held-out text."""
    how, folder = recipe(name), OUT / f"{name}-seed{seed}"
    tokenizer, run = load(folder / "tokenizer"), Run.open(folder / "run")
    share = run.config.pretokens.held_out
    specs = [f"{kind}:{tokenizer.vocab_size}" for kind in (SUPERWORD_PEERS if "base" in how else PEERS)]
    peers = [train_peer(spec, documents(how["corpus"], share, held_out=False)) for spec in specs]
    result = {
        "name": name,
        "seed": seed,
        "corpus": how["corpus"],
        "tokenizer_sha256": read_json(folder / "tokenizer" / "gqvae.json")["sha256"],
        "report": read_json(folder / "tokenizer" / "report.json"),
        "held_out": _rows(tokenizer, peers, documents(how["corpus"], share, held_out=True)),
    }
    if second := SECOND_TEXTS.get(how["corpus"]):
        result[second] = _rows(tokenizer, peers, Corpus((str(DATA / second),)).documents())
    return result


def _rows(tokenizer: Tokenizer, peers: Sequence[TokenizerLike], documents: Iterator[str]) -> list[dict[str, Any]]:
    return [dict(row) for row in rate(compare([tokenizer, *peers], documents), reference=1)]


def documents(corpus: str, share: float, *, held_out: bool) -> Iterator[str]:
    documents = Corpus((str(DATA / corpus),)).documents()
    return (document for document in documents if is_held_out(document, share) == held_out)


if __name__ == "__main__":
    main()
