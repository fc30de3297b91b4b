"""From a trained model to a tokenizer: every code is one string, so the codebook is a vocabulary.

1. Decode the codebook; segment every distinct pretoken with the network.
2. Choose the vocabulary: 256 bytes, then the distinct strings of codes that occur, the most useful ones if they are too
   many; then, if they are too few (duplicates, dead codes, strings no pretoken contains), the spans that the
   segmentation needs most, so that N ids are N ids.
3. Segment again with the codes that were kept, and fit one score a string, so that a plain Viterbi search over static
   scores reproduces the network's choice as far as it can.

The report says what each of these did. Its figures are over pretokens, those longer than the window cut as the network
reads them; the tokenizer itself does not cut.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gqvae.config import SPECIALS
from gqvae.errors import GqvaeError
from gqvae.files import replacing, write_json
from gqvae.learn.model import GQVAE
from gqvae.learn.neural import NeuralTokenizer
from gqvae.learn.run import Run
from gqvae.learn.scores import agreement, fit_scores, static_ids
from gqvae.learn.segmenter import Measures, Segmented, Segmenter
from gqvae.pretokens import PretokenTable
from gqvae.selection import GIVEN, choose, in_order_of_use
from gqvae.spelling import spell
from gqvae.terminal import say
from gqvae.tokenizer import Tokenizer
from gqvae.validation import checked_name
from gqvae.vocabulary import Vocabulary


def distill(folder: Path, out: Path, vocab_size: int | None = None, name: str | None = None) -> dict[str, Any]:
    """Distill the run in `folder` into a tokenizer in `out`; returns (and writes beside it) the report.

    `out` gets gqvae.json (the tokenizer), segmentations.parquet (the network's segmentation of each distinct pretoken
    of the training text: piece, count, ids) and report.json.

    Args:
        vocab_size: exactly so many ids; default: what the run was trained for, or what its codes give.
        name: what reports call the tokenizer; default: the name of `out`.
    """
    name = checked_name(name or out.resolve().name)
    if out.exists() and not out.is_dir():
        raise GqvaeError(f"{out} is a file; name a folder")
    run = Run.open(folder)
    size = vocab_size if vocab_size is not None else run.config.vocab_size
    model, table = run.trained_model(), run.pretokens
    report: dict[str, Any] = {"network": {}}
    for mode in ("gates", "viterbi"):
        say(f"segmenting with the network ({mode})")
        segmenter = run.segmenter(mode, model)
        segmented = segmenter.segment(table.pieces)
        report["network"][mode] = _measures(table, segmented, segmenter)

    say("choosing the vocabulary")
    strings = _codebook_strings(segmenter, segmented, table)
    learned = choose(strings, table, size, run.config.model.longest_token)
    report["codebook"] = _codebook_report(segmenter.strings, strings)
    own = [string for string in learned if string in strings]
    report["learned_strings"] = {"all": len(learned), "from_codes": len(own), "filled_in": len(learned) - len(own)}

    say("fitting the static scores")
    vocabulary = Vocabulary(tuple(learned), SPECIALS)
    ids = NeuralTokenizer(run, model, vocabulary).ids(table.pieces)
    vocabulary, ids = in_order_of_use(vocabulary, ids, table.counts.tolist())
    fitted = fit_scores(vocabulary, table, ids)
    tokenizer = Tokenizer(vocabulary, fitted.scores, table.pattern, name, _provenance(run))
    report |= _final_report(run, model, tokenizer, own) | {"agreement_on_training_text": fitted.agreement}

    tokenizer.save(out)
    _save_segmentations(out / "segmentations.parquet", table, ids)
    write_json(out / "report.json", report)
    return report


def _codebook_strings(segmenter: Segmenter, segmented: Sequence[Segmented], table: PretokenTable) -> Counter[bytes]:
    """Strings of two bytes and more that codes stood for exactly, and how often: what occurs is possible."""
    found: Counter[bytes] = Counter()
    for piece, count, result in zip(table.pieces, table.counts.tolist(), segmented, strict=True):
        for span, code in zip(result.spans(piece), result.codes, strict=True):
            if span not in GIVEN and segmenter.strings[code] == span:
                found[span] += count
    return found


def _codebook_report(all_strings: Sequence[bytes], used: Counter[bytes]) -> dict[str, int]:
    distinct = set(all_strings)
    longer = {string for string in distinct if len(string) > 1}
    return {
        "codes": len(all_strings),
        "duplicates": len(all_strings) - len(distinct),
        "single_bytes": len(distinct) - len(longer),
        "unused_or_impossible": len(longer - used.keys()),
        "useful": len(used),
    }


def _measures(table: PretokenTable, segmented: Sequence[Segmented], segmenter: Segmenter) -> dict[str, float]:
    measures = Measures.of(table.pieces, table.counts.tolist(), segmented, segmenter.strings)
    return {
        "exact_codes": measures.exact_codes,
        "bytes_per_token_before_fallback": measures.bytes_per_token,
        "codes_used": measures.codes_used,
        "perplexity": measures.perplexity,
    }


def _final_report(run: Run, model: GQVAE, tokenizer: Tokenizer, own: list[bytes]) -> dict[str, Any]:
    """On held-out pretokens: exactness, agreement, and bytes per token after each stage."""
    table = run.held_out if run.held_out.pieces else run.pretokens
    vocabulary, longest = tokenizer.vocabulary, run.config.model.longest_token
    network = NeuralTokenizer(run, model, vocabulary)
    segmented = network.segmenter.segment(table.pieces)
    network_ids = network.spelled(table.pieces, segmented)
    static = static_ids(vocabulary, tokenizer.scores, table.pieces)
    gates = NeuralTokenizer(run, model, vocabulary, "gates").ids(table.pieces)
    codes_alone = [spell(piece, set(own), longest) for piece in table.pieces]
    stages = (
        ("gates, nearest codes, fallback", len(vocabulary), gates),
        ("viterbi, nearest few codes, fallback", len(vocabulary), network_ids),
        ("strings of codes alone, fewest tokens", len(vocabulary) - len(vocabulary.learned) + len(own), codes_alone),
        ("the tokenizer: all ids, static scores", len(vocabulary), static),
    )
    return {
        "vocab_size": len(vocabulary),
        "exact_codes": _measures(table, segmented, network.segmenter)["exact_codes"],
        "agreement": agreement(static, network_ids, table.counts.tolist()),
        "held_out_stages": [
            {"stage": stage, "ids": size, "bytes_per_token": _rate(table, tokens)} for stage, size, tokens in stages
        ],
    }


def _rate(table: PretokenTable, tokens: Sequence[Sequence[object]]) -> float:
    counts: list[int] = table.counts.tolist()
    return table.total_bytes / sum(count * len(row) for count, row in zip(counts, tokens, strict=True))


def _provenance(run: Run) -> dict[str, Any]:
    from gqvae import __version__

    return {
        "gqvae": __version__,
        "seed": run.config.seed,
        "corpus": dict(run.pretokens.provenance),
        "config": run.config.to_dict(),
    }


def _save_segmentations(path: Path, table: PretokenTable, ids: Sequence[tuple[int, ...]]) -> None:
    import pyarrow
    import pyarrow.parquet

    columns = {
        "piece": pyarrow.array(table.pieces, pyarrow.large_binary()),
        "count": table.counts,
        "ids": pyarrow.array([list(row) for row in ids], pyarrow.list_(pyarrow.int32())),
    }
    with replacing(path) as temporary:
        pyarrow.parquet.write_table(pyarrow.table(columns), temporary, compression="zstd")
