"""What matters: train variants of the default on TinyStories, 1,024 ids, and measure each: `runs/ablate.py`.

Every variant and seed is a run in out/ablations, distilled and compared with BPE of as many ids that saw the same
documents, on tinystories_valid.txt. Writes runs/results/ablations-seedN.json after each; what is finished is not done
again.
"""

import argparse
from typing import Any

from remake import DATA, OUT, RESULTS, documents

from gqvae.corpus import Corpus
from gqvae.evaluation.metrics import compare, rate
from gqvae.evaluation.peers import train_peer
from gqvae.files import read_json, write_json
from gqvae.learn.distill import distill
from gqvae.learn.training import resume, train
from gqvae.names import load
from gqvae.presets import preset

IDS, SEEDS = 1_024, (0,)
CORPUS = "tinystories_train.txt"
VARIANTS = {
    "default": ("the default", []),
    "gates": ("objective: gates, alpha 2.5 (the paper's)", ["objective.name=gates", "quantizer.revival=reservoir"]),
    "gates-rate": (
        "objective: gates held at a rate of 0.3",
        ["objective.name=gates", "quantizer.revival=reservoir", "objective.target_rate=0.3"],
    ),
    "reservoir": ("codes move to the paper's reservoir, not to needs", ["quantizer.revival=reservoir"]),
    "ema": ("quantizer: cosine, moving averages", ["quantizer.name=ema"]),
    "gradient": ("quantizer: Euclidean, full width (the paper's)", ["quantizer.name=gradient"]),
    "width-64": ("width: 64, not 128", ["model.width=64"]),
    "width-256": ("width: 256", ["model.width=256"]),
    "counts-0.5": ("count exponent: 0.5, not 0.75", ["training.count_exponent=0.5"]),
    "counts-1": ("count exponent: 1", ["training.count_exponent=1"]),
    "nearest-1": ("nearest codes considered: 1, not 4", ["quantizer.candidates=1"]),
    "nearest-8": ("nearest codes considered: 8", ["quantizer.candidates=8"]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="variants; default: all")
    given = parser.parse_args()
    peer = train_peer(f"bpe:{IDS}", documents(CORPUS, preset("tiny").pretokens.held_out, held_out=False))
    for seed in given.seeds:
        path = RESULTS / f"ablations-seed{seed}.json"
        rows: list[dict[str, Any]] = read_json(path) if path.exists() else []
        for name, (label, settings) in VARIANTS.items():
            if name in given.only and not any((row["variant"], row["steps"]) == (name, given.steps) for row in rows):
                report, ratio = _run(name, settings, seed, given.steps, peer)
                about = {"variant": name, "label": label, "seed": seed, "steps": given.steps, "ratio": ratio}
                rows.append(about | _summary(report))
                write_json(path, rows)


def _run(name: str, settings: list[str], seed: int, steps: int, peer: Any) -> tuple[dict[str, Any], float]:
    folder = OUT / "ablations" / f"{name}-{steps}-seed{seed}"
    if (folder / "run" / "config.json").exists():
        resume(folder / "run")
    else:
        chosen = [f"vocab_size={IDS}", f"seed={seed}", f"training.steps={steps}", "training.threads=1", *settings]
        train(preset("tiny").override(chosen), Corpus((str(DATA / CORPUS),)), folder / "run")
    report = distill(folder / "run", folder / "tokenizer", name=folder.name)
    texts = Corpus((str(DATA / "tinystories_valid.txt"),)).documents()
    row = rate(compare([load(folder / "tokenizer"), peer], texts), reference=1)[0]
    assert row["ratio"] is not None
    return report, row["ratio"]


def _summary(report: dict[str, Any]) -> dict[str, Any]:
    return {
        "exact_codes": report["exact_codes"],
        "agreement": report["agreement"],
        "from_codes": report["learned_strings"]["from_codes"],
        "learned": report["learned_strings"]["all"],
        "stages": {row["stage"]: row["bytes_per_token"] for row in report["held_out_stages"]},
    }


if __name__ == "__main__":
    main()
