"""Write docs/results.md from runs/results: `python runs/results.py`. Measures nothing itself."""

from collections import defaultdict
from pathlib import Path
from statistics import mean, median
from typing import Any

from remake import RESULTS, recipe

from gqvae.files import read_json
from gqvae.reproduce.statistics import summary

VALID = "tinystories_valid.txt"
PAGE = Path(__file__).parent.parent / "docs" / "results.md"

HEAD = """# Results

Made by `python runs/results.py` from the measurements in `runs/results`, which `runs/remake.py NAME`,
`runs/ablate.py`, `runs/portable.py` and `gqvae reproduce` make. Bytes per token are bytes of untouched text over tokens
of that same text. Vocabularies count all ids: 256 bytes, learned strings, one special token. Peers are trained by
Hugging Face `tokenizers` at its defaults, on the same documents as ours: 95% of each training file. *Held out* are the
other 5%, chosen by document hash. One thread of a shared CPU, float32; those called `-gpu` on an NVIDIA H100, in bf16
(preset `small`, two at once).
"""
STAGES = {
    "gates, nearest codes, fallback": "gates + codes + fallback",
    "viterbi, nearest few codes, fallback": "viterbi + codes + fallback",
    "strings of codes alone, fewest tokens": "strings of codes, static",
    "filled up, fewest tokens": "filled up, static",
    "the tokenizer: filled up, fitted scores": "the tokenizer",
}


def main() -> None:
    paths = sorted(RESULTS.glob("*-seed*.json"))
    results = [read_json(path) for path in paths if not path.name.startswith("ablations")]
    words = [result for result in results if "base" not in recipe(result["name"])]
    superword = [result for result in results if "base" in recipe(result["name"])]
    parts = [HEAD, _words(words), _stages(results), _superword(superword)]
    if (RESULTS / "portable.json").exists():
        parts.append(_portable(read_json(RESULTS / "portable.json")))
    parts += [_language_models(read_json(path)) for path in sorted(RESULTS.glob("reproduce-*.json"))]
    ablations = [row for path in sorted(RESULTS.glob("ablations-seed*.json")) for row in read_json(path)]
    if ablations:
        parts.append(_ablations(ablations))
    PAGE.write_text("\n".join(parts), encoding="utf-8")


def _words(results: list[dict[str, Any]]) -> str:
    """One row a tokenizer, over its seeds."""
    rows = []
    for name, group in _grouped(results, "name").items():
        ours, bpe = group[0]["held_out"]
        reports = [result["report"] for result in group]
        valid = [found[0]["ratio"] for result in group if (found := result.get(VALID))]
        unused = max(report["ids_never_used_on_training_text"] / report["vocab_size"] for report in reports)
        rows.append(
            [
                name,
                str(len(group)),
                f"{ours['bytes_per_token']:.4f}",
                f"{bpe['bytes_per_token']:.4f}",
                _spread([result["held_out"][0]["ratio"] for result in group]),
                _spread(valid) if valid else "",
                f"{min(report['network']['viterbi']['exact_codes'] for report in reports):.4f}",
                f"{min(report['agreement'] for report in reports):.4f}",
                f"{unused:.2%}",
            ]
        )
    return _section(
        "Inside words",
        "Ratio to BPE of as many ids; over seeds the median, and the worst in brackets; bytes per token of the first\n"
        "seed. Exact: emitted codes whose string is the span they stand for, on the training text. Agreement:\n"
        "held-out pretoken occurrences that get the network's tokens. Unused: ids not in the training text.",
        [
            "tokenizer",
            "seeds",
            "held out: bytes/token",
            "BPE",
            "ratio",
            "validation: ratio",
            "exact",
            "agreement",
            "unused",
        ],
        rows,
    )


def _stages(results: list[dict[str, Any]]) -> str:
    """What the network did and what came after it, seed 0."""
    rows = []
    for result in results:
        if result["seed"] == 0:
            stages = {row["stage"]: row["bytes_per_token"] for row in result["report"]["held_out_stages"]}
            learned = result["report"]["learned_strings"]
            cells = [f"{stages[stage]:.3f}" for stage in STAGES]
            rows.append([result["name"], *cells, f"{learned['from_codes']:,} of {learned['all']:,}"])
    return _section(
        "What the network did, and what came after",
        "Bytes per token of held-out pretokens (cut as the network reads them) after each stage, seed 0. The first\n"
        "three use bytes and strings of codes alone; filling up replaces duplicates, junk and dead strings by the\n"
        "spans that the segmentation needs most; the tokenizer has the scores that imitate the network.",
        ["tokenizer", *STAGES.values(), "strings from codes"],
        rows,
    )


def _superword(results: list[dict[str, Any]]) -> str:
    """Each tokenizer across words beside the three peers, on each text."""
    rows = []
    for result in results:
        for text in ("held_out", VALID):
            if found := result.get(text):
                ours, *peers = (row["bytes_per_token"] for row in found)
                ratios = [f"{ours / peer:.3f}" for peer in peers]
                rows.append([result["name"], str(result["seed"]), text, f"{ours:.4f}", *ratios])
    return _section(
        "Across words",
        "All of 8,192 ids, on the same text. SuperBPE turns from words to sentences at 3,276 ids.",
        ["tokenizer", "seed", "text", "bytes/token", "x BPE", "x sentence-level BPE", "x SuperBPE"],
        rows,
    )


def _portable(measured: dict[str, dict[str, Any]]) -> str:
    """Each export beside its tokenizer and BPE, on each text."""
    rows = []
    for name, result in measured.items():
        agreement, learned = result["report"]["agreement"]["documents"], result["report"]["learned_strings"]
        for text in ("held_out", VALID):
            if found := result.get(text):
                ours, export, bpe, *others = (row["bytes_per_token"] for row in found)
                superbpe = f"{export / others[-1]:.4f}" if others else ""
                alike = f"{agreement['pretokens_equal']:.1%}" if text == "held_out" else ""
                kept = f"{learned['kept']:,} of {learned['all']:,}" if text == "held_out" else ""
                figures = [f"{ours:.4f}", f"{export:.4f}", f"{export / ours:.4f}", f"{export / bpe:.4f}", superbpe]
                rows.append([name, text, *figures, alike, kept])
    return _section(
        "Portable exports",
        "Byte-level BPE with as many ids, chosen on the documents that the tokenizer learned from\n"
        "(`docs/exports.md`), as `evaluate hf:FOLDER` measures it. Ids were equal in `tokenizers`, transformers,\n"
        "tiktoken and, but for those across words, whose pattern it does not know, gigatoken. Alike: pretoken\n"
        "occurrences with the tokenizer's tokens; across words a pretoken is a sentence.",
        [
            "tokenizer",
            "text",
            "bytes/token",
            "of its export",
            "x the tokenizer",
            "x BPE",
            "x SuperBPE",
            "alike",
            "learned strings kept",
        ],
        rows,
    )


def _language_models(results: dict[str, Any]) -> str:
    """What `gqvae reproduce` found: each tokenizer's models, and ours against the peers."""
    corpus, config = results["corpus"], results["config"]
    labels = {tokenizer["key"]: tokenizer["label"] for tokenizer in results["tokenizers"]}
    measures = {tokenizer["key"]: tokenizer["measures"] for tokenizer in results["tokenizers"]}
    rows = []
    for key, group in _grouped(results["probes"], "tokenizer").items():
        found = summary([probe["points"][-1]["bits_per_byte"] for probe in group])
        interval = "" if found.interval is None else f" ± {found.interval:.4f}"
        of = measures[key]
        each = [f"{of['bytes_per_token']:.3f}", f"{of['whole_words']:.1%}", f"{of['renyi_efficiency']:.3f}"]
        rows.append([labels[key], f"{of['vocab_size']:,}", *each, f"{found.mean:.4f}{interval}", str(found.n)])
    models = _section(
        f"Language models: {', '.join(corpus['inputs'])}",
        f"`gqvae reproduce {' '.join(corpus['inputs'])}` at its default size. Bits per raw byte of"
        f" {corpus['held_out_bytes']:,} held-out bytes, mean and\n95% interval over the seeds, of Llamas with"
        f" {config['probe']['layers']} layers of width {config['probe']['width']} that see the"
        f" {corpus['training_bytes']:,} bytes of training\ntext once. Tokenizers are of one seed. A fixed-length"
        " tokenizer but the best has one seed.\n\n"
        "What this does not show: larger models, more text, more passes, other languages, and how far the seed of a\n"
        "tokenizer matters.",
        ["tokenizer", "ids", "bytes/token", "words whole", "Rényi efficiency", "bits/byte", "seeds"],
        sorted(rows, key=lambda row: row[5]),
    )
    compared = [
        [
            row["matched"], labels[row["ours"]], labels[row["peer"]],
            f"{row['difference']:+.4f} ± {row['interval']:.4f}", row["verdict"],
        ]
        for row in results["comparisons"]
    ]  # fmt: skip
    table = _table(["the same", "ours", "peer", "bits/byte, ours - peer", "ours is"], compared)
    return f"{models}\nA difference within its 95% interval is none (Welch).\n\n{table}"


def _ablations(measured: list[dict[str, Any]]) -> str:
    """One row a variant, the mean over its seeds, of the longest trainings there are."""
    steps = max(row["steps"] for row in measured)
    rows = []
    for group in _grouped([row for row in measured if row["steps"] == steps], "variant").values():
        gates, viterbi = ([row["stages"][stage] for row in group] for stage in list(STAGES)[:2])
        each = ", ".join(f"{row['ratio']:.3f}" for row in group)
        rows.append(
            [
                group[0]["label"],
                f"{mean(row['ratio'] for row in group):.3f} ({each})",
                f"{mean(viterbi):.3f}",
                f"{mean(gates):.3f}",
                f"{mean(row['exact_codes'] for row in group):.4f}",
                f"{mean(row['from_codes'] for row in group):.0f} of {group[0]['learned']}",
            ]
        )
    return _section(
        "Ablations",
        f"TinyStories, 1,024 ids, {steps} steps (the default trains 1,000), validation file; means over the seeds, in\n"
        "brackets each seed. Network: viterbi over the nearest codes, fallback, on held-out pretokens.",
        ["variant", "x BPE", "network, bytes/token", "gates, bytes/token", "exact", "strings from codes"],
        rows,
    )


def _section(title: str, text: str, columns: list[str], rows: list[list[str]]) -> str:
    return f"## {title}\n\n{text}\n\n{_table(columns, rows)}"


def _table(columns: list[str], rows: list[list[str]]) -> str:
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (columns, ["---"] * len(columns), *rows))


def _grouped(rows: list[dict[str, Any]], key: str) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row[key]].append(row)
    return groups


def _spread(ratios: list[float]) -> str:
    return f"{median(ratios):.4f}" + (f" ({min(ratios):.4f})" if len(ratios) > 1 else "")


if __name__ == "__main__":
    main()
