"""The portable export: a byte-level BPE near a learned tokenizer, for every fast runtime.

Its ids are its own: choose it before a language model is trained, and train on it. `choosing` says how the vocabulary
is made; here it is measured, written for `tokenizers` and for tiktoken, and proven.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from gqvae.artifact import FILE_NAME
from gqvae.bpe import BPETokenizer
from gqvae.errors import GqvaeError
from gqvae.export.chat import Settings
from gqvae.export.choosing import choose
from gqvae.export.huggingface import (
    NOTE,
    build_huggingface,
    check_huggingface,
    unspell,
    with_specials,
    write_huggingface,
)  # fmt: skip
from gqvae.export.merging import Counts, train_bpe, train_superbpe
from gqvae.export.parity import Proof, write_export
from gqvae.export.tiktoken import gigatoken_runtimes, tiktoken_runtimes, write_tiktoken
from gqvae.files import read_json
from gqvae.patterns import PATTERNS, begins_at_words, cut, split_text
from gqvae.tokenizer import Tokenizer
from gqvae.vocabulary import BYTES, Vocabulary

KEEP = 0.98
"""Share of the tokenizer's bytes per token that the export must keep."""
RUNTIMES = ("tokenizers", "transformers", "tiktoken", "gigatoken")
"""Where ids are compared: if installed, and if gigatoken knows the pattern."""
NOTE_GIGATOKEN = (
    "; gigatoken parses them always, and was not compared on text with letters and numbers of Unicode 17 and later, "
    "which others take for unassigned"
)
WINDOW = 64
"""Bytes at which pretokens are cut before the choice."""
MOST_PRETOKENS = 200_000
"""Distinct pretokens that the choice is made on, the most frequent: the rest of a large text weighs little."""


def portable_bpe(tokenizer: Tokenizer, counts: Counts, merges_only: bool = False) -> BPETokenizer:
    """A BPE with as many ids as `tokenizer`, the same pattern and special tokens.

    Across words learned strings play no part: few tokens are whole sentences, so merges have to make nearly all, and
    choosing by the learned strings compressed no better than merging what is frequent (docs/log.md).

    Args:
        counts: pretokens of text like that which the tokenizer learned from, and how often they occur.
        merges_only: no id for whole words alone. Learned strings then play no part either: it is a plain BPE.

    Raises GqvaeError for a tokenizer without pretokens, and for too little text.
    """
    if PATTERNS[tokenizer.pattern] is None:
        raise GqvaeError("portable needs pretokens, as merges are chosen by counting them: not pattern 'none'")
    size, avoid = len(tokenizer.vocabulary.learned), {name.encode() for name in tokenizer.vocabulary.specials}
    frequent = _most_frequent(counts)
    if not begins_at_words(tokenizer.pattern):
        learned = train_superbpe(frequent, size, avoid)
    elif merges_only:
        learned = train_bpe(frequent, size, avoid=avoid)
    else:
        learned = choose(frequent, tokenizer.vocabulary.learned, size, avoid)
    if len(learned) < size:
        raise GqvaeError(f"the text gives {len(learned)} merges, not {size}: give more of it")
    vocabulary = Vocabulary(tuple(learned), tokenizer.vocabulary.specials)
    return BPETokenizer(vocabulary, tokenizer.pattern, f"{tokenizer.name}-portable")


def export_portable(
    tokenizer: Tokenizer,
    folder: str | Path,
    counts: Counts,
    samples: Iterable[str] | None = None,
    settings: Settings | None = None,
    *,
    keep: float = KEEP,
    merges_only: bool = False,
) -> dict[str, Any]:
    """Choose a portable vocabulary and write it: `tokenizer.json` (with its config), `ranks.tiktoken`, `tiktoken.json`.

    Nothing is written unless ids are equal in each runtime that is installed (`tokenizers`, transformers, tiktoken,
    gigatoken) on awkward text and `samples`, no id is unreachable, and the compression is near the tokenizer's.

    Args:
        counts: as for `portable_bpe`.
        samples: documents to prove and measure on, held out from `counts` if the figures are to mean anything.
        keep: share of the tokenizer's bytes per token to keep, on `samples`, or on `counts` if there are none.

    Returns:
        The report of `export_huggingface`, and "not_checked_with", those of `RUNTIMES` that are missing; "agreement",
        `measure` on the counted text and on the documents; "learned_strings", those kept and all.

    Raises GqvaeError when one of these fails.
    """
    settings = settings or Settings()
    tokenizer = with_specials(tokenizer, settings.specials)
    model = portable_bpe(tokenizer, counts, merges_only)
    proof = Proof.of(model, samples or ())
    agreement = {"counted_text": measure(tokenizer, model, counts)}
    documents = proof.texts[len(proof.texts) - proof.documents :]
    if documents:
        agreement["documents"] = measure(tokenizer, model, count(documents, model.pattern)) | {
            "documents_equal": sum(tokenizer.split(text) == model.split(text) for text in documents) / len(documents)
        }
    kept = agreement["documents" if documents else "counted_text"]["compression_kept"]
    if kept < keep:
        raise GqvaeError(
            f"the portable vocabulary keeps {kept:.2%} of the tokenizer's bytes per token, less than the {keep:.2%} "
            "asked for, so nothing was written: lower --keep, or give text that is more like the tokenizer's"
        )
    same = len(set(model.vocabulary.learned) & set(tokenizer.vocabulary.learned))

    def write(temporary: Path) -> dict[str, Any]:
        write_portable(model, temporary, settings)
        checked = check_portable(proof, model, temporary)
        return proof.report("portable", len(model.unreachable), checked, NOTE + NOTE_GIGATOKEN) | {
            "not_checked_with": [name for name in RUNTIMES if name not in checked],
            "learned_strings": {"kept": same, "all": len(tokenizer.vocabulary.learned)},
            "whole_pretokens_only": len(model.whole_only),
            "agreement": agreement,
        }

    return write_export(folder, write)


def write_portable(model: BPETokenizer, folder: Path, settings: Settings) -> None:
    """Write the files, unchecked."""
    write_huggingface(model, folder, settings)
    write_tiktoken(model, folder)


def check_portable(proof: Proof, model: BPETokenizer, folder: Path) -> list[str]:
    """Compare the export with what `proof` expects in every runtime there is; their names. Raises GqvaeError."""
    if model.unreachable:
        raise GqvaeError(f"{len(model.unreachable)} ids cannot be reached, so nothing was written")
    names = check_huggingface(proof, folder)
    for runtime in chain(tiktoken_runtimes(folder), gigatoken_runtimes(model, folder)):
        proof.check(runtime)
        names.append(runtime.name)
    return names


def measure(tokenizer: Tokenizer, model: BPETokenizer, counts: Counts) -> dict[str, float]:
    """Bytes per token of both on the same pretokens, the share kept, and the share of occurrences split alike."""
    size = tokens = portable_tokens = alike = 0
    for piece, number in counts.items():
        ours, theirs = tokenizer.split(piece), model.split(piece)
        size += number * len(piece)
        tokens += number * len(ours)
        portable_tokens += number * len(theirs)
        alike += number * (ours == theirs)
    if not size:
        raise GqvaeError("there is no text to choose or measure a portable vocabulary on")
    return {
        "bytes_per_token": size / portable_tokens,
        "bytes_per_token_of_the_tokenizer": size / tokens,
        "compression_kept": tokens / portable_tokens,
        "pretokens_equal": alike / sum(counts.values()),
    }


def count(documents: Iterable[str], pattern: str) -> Counter[bytes]:
    """The pretokens of the documents and how often they occur."""
    counts: Counter[str] = Counter()
    for document in documents:
        counts.update(split_text(document, pattern))
    return Counter({piece.encode(): number for piece, number in counts.items()})


def _most_frequent(counts: Counts) -> Counts:
    """What the choice is made on: pretokens, those of more than `WINDOW` bytes cut, no more than `MOST_PRETOKENS`."""
    short: Counter[bytes] = Counter()
    for piece, number in counts.items():
        for part in cut(piece, WINDOW):
            short[part] += number
    return dict(short.most_common(MOST_PRETOKENS))


def counted(tokenizer: Path) -> Counter[bytes] | None:
    """The pretokens of the text that a tokenizer, a folder or its file, was distilled from; None if they are not kept.

    Raises GqvaeError if the file is damaged.
    """
    path = (tokenizer if tokenizer.is_dir() else tokenizer.parent) / "segmentations.parquet"
    if not path.exists():
        return None
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path, columns=["piece", "count"])
    except (OSError, pyarrow.ArrowException, ValueError) as error:
        raise GqvaeError(f"{path} cannot be read ({error}): distill again, or give --train-corpus") from error
    return Counter(dict(zip(table["piece"].to_pylist(), table["count"].to_pylist(), strict=True)))


def is_portable(folder: str | Path) -> bool:
    """Whether this is a folder with a `tokenizer.json`, and none of a learned tokenizer."""
    return (Path(folder) / "tokenizer.json").exists() and not (Path(folder) / FILE_NAME).exists()


def load_portable(folder: str | Path) -> BPETokenizer:
    """A portable export, from its `tokenizer.json`. Raises GqvaeError if it is none of ours."""
    path = Path(folder) / "tokenizer.json"
    content = read_json(path)
    try:
        return _parsed(content, Path(folder).resolve().name)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise GqvaeError(f"{path} is not a portable export ({error}): make one with --format portable") from error


def _parsed(content: Mapping[str, Any], name: str) -> BPETokenizer:
    if content["model"]["type"] != "BPE" or not content["model"]["ignore_merges"]:
        raise ValueError(f"its model is {content['model']['type']}")
    (regex,) = (step["pattern"]["Regex"] for step in content["pre_tokenizer"]["pretokenizers"] if "pattern" in step)
    pattern = {known: name for name, known in PATTERNS.items()}[regex]
    specials = [token["content"] for token in content["added_tokens"]]
    tokens = sorted(content["model"]["vocab"], key=content["model"]["vocab"].__getitem__)
    learned = [unspell(token) for token in tokens if token not in specials][BYTES:]
    tokenizer = BPETokenizer(Vocabulary(tuple(learned), tuple(specials)), pattern, name)
    written = json.loads(build_huggingface(tokenizer).to_str())
    found = {**content, "model": written["model"] | content["model"]}  # versions of tokenizers add what they leave out
    changed = [part for part in ("model", "normalizer", "pre_tokenizer") if found[part] != written[part]]
    if changed:
        raise ValueError(f"its {changed[0]} is not what its tokens make of it")
    return tokenizer
