"""From a trained model to a tokenizer: every code is one string, so the codebook is a vocabulary.

1. Decode the codebook; segment every distinct pretoken with the network.
2. Choose the vocabulary: 256 bytes, then the distinct strings of codes that occur, the most useful ones if they are too
   many; then, if they are too few (duplicates, dead codes, strings no pretoken contains), the spans that the
   segmentation needs most, so that N ids are N ids. (A run with a target for its compression keeps to its codes.)
3. Segment again with the codes that were kept, and fit one score a string, so that a plain Viterbi search over static
   scores reproduces the network's choice as far as it can.

The report says what each of these did. Its figures are over pretokens as the network reads them, those longer than the
window cut; the tokenizer itself does not cut.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from gqvae.config import SPECIALS
from gqvae.errors import GqvaeError
from gqvae.files import replacing, write_json
from gqvae.learn.alphabet import SymbolTable
from gqvae.learn.data import Sample
from gqvae.learn.model import GQVAE
from gqvae.learn.neural import NeuralTokenizer
from gqvae.learn.rate import miss
from gqvae.learn.run import Run
from gqvae.learn.scores import CHEAPER, FIRST, agreement, fit_scores, meeting, occurring, static_ids
from gqvae.learn.segmenter import Measures, NeuralSegmenter, Segmented
from gqvae.selection import GIVEN, SINGLE_BYTES, best, choose, in_order_of_use
from gqvae.terminal import say
from gqvae.tokenizer import Tokenizer
from gqvae.validation import checked_name
from gqvae.vocabulary import BYTES, MAX_IDS, Vocabulary

MET_ON = 16_384
"""Most held-out pretokens on which a target is met."""
FITTED_BYTES = 500_000
"""Most bytes of distinct pretokens that the static scores are fitted on: the fit is plain Python."""


def distill(folder: Path, out: Path, vocab_size: int | None = None, name: str | None = None) -> dict[str, Any]:
    """Distill the run in `folder` into a tokenizer in `out`; returns (and writes beside it) the report.

    `out` gets gqvae.json (the tokenizer), segmentations.parquet (the network's segmentation of each distinct pretoken
    of the training text: piece, count, ids) and report.json.

    Args:
        vocab_size: exactly so many ids, or, with a target for the compression, at most; default: what the run was
            trained for, or what its codes give.
        name: what reports call the tokenizer; default: the name of `out`.
    """
    name = checked_name(name or out.resolve().name)
    if out.exists() and not out.is_dir():
        raise GqvaeError(f"{out} is a file; name a folder")
    run = Run.open(folder)
    size = vocab_size if vocab_size is not None else run.config.vocab_size
    model, table = run.trained_model(), run.table
    say("segmenting with the network (gates)")
    gates = run.segmenter("gates", model)
    network = {"gates": _measures(table, gates.segment(table.pieces), gates)}
    say("segmenting with the network (viterbi)")
    segmenter = run.segmenter("viterbi", model)
    segmented = segmenter.segment(table.pieces)
    report: dict[str, Any] = {"network": network | {"viterbi": _measures(table, segmented, segmenter)}}

    say("choosing the vocabulary")
    strings = _codebook_strings(segmenter, segmented, table)
    report["codebook"] = _codebook_report(segmenter.strings, strings)
    learned = _learned(run, strings, size)

    say("fitting the static scores")
    vocabulary = _vocabulary(run, learned)
    ids = NeuralTokenizer(run, model, vocabulary).ids(table.pieces)
    vocabulary, ids = in_order_of_use(vocabulary, ids, table.counts.tolist())
    scores = _fitted(run, vocabulary, ids)
    if run.config.objective.target_bytes_per_token is not None:  # then there may be fewer ids
        score_of = dict(zip(vocabulary.plain_tokens, scores, strict=True))
        vocabulary, ids = in_order_of_use(*occurring(vocabulary, scores, ids), table.counts.tolist())
        scores = [score_of[token] for token in vocabulary.plain_tokens]
        learned = [string for string in learned if run.alphabet.text(string) in vocabulary.id_of]
    own = [string for string in learned if string in strings]
    report["learned_strings"] = {"all": len(learned), "from_codes": len(own), "filled_in": len(learned) - len(own)}
    tokenizer = Tokenizer(vocabulary, scores, run.pretokens.pattern, name, _provenance(run))
    report |= _final_report(run, model, tokenizer, own) | _of_target(run, tokenizer)
    used = set().union(*static_ids(vocabulary, scores, table.texts))
    report["ids_never_used_on_training_text"] = len(vocabulary.learned) - len(used - set(range(BYTES)))

    tokenizer.save(out)
    _save_segmentations(out / "segmentations.parquet", table, ids)
    write_json(out / "report.json", report)
    return report


def _learned(run: Run, strings: Counter[str], size: int | None) -> list[str]:
    """The learned strings: all of `strings`, or as many as `size` ids ask for. With a target for the compression the
    best of them, but nothing besides: what would be filled in would go beyond the target."""
    longest, text_of = run.config.model.longest_token, run.alphabet.text
    if size is None or run.config.objective.target_bytes_per_token is not None:
        return best(strings, size or MAX_IDS, longest, text_of)
    sample = Sample.of(run.table, run.config.training.sample_pretokens, _generator(run))
    return choose(strings, sample.weighted(), size, longest, text_of)


def _generator(run: Run) -> torch.Generator:
    return torch.Generator().manual_seed(run.config.seed)


def _vocabulary(run: Run, strings: Iterable[str]) -> Vocabulary:
    return Vocabulary(tuple(sorted(set(map(run.alphabet.text, strings)) - GIVEN)), SPECIALS)


def _codebook_strings(segmenter: NeuralSegmenter, segmented: Sequence[Segmented], table: SymbolTable) -> Counter[str]:
    """Strings other than single bytes that codes stood for exactly, and how often: what occurs is possible."""
    found: Counter[str] = Counter()
    for piece, count, result in zip(table.pieces, table.counts.tolist(), segmented, strict=True):
        for span, code in zip(result.spans(piece), result.codes, strict=True):
            if span not in SINGLE_BYTES and segmenter.strings[code] == span:
                found[span] += count
    return found


def _codebook_report(all_strings: Sequence[str], used: Counter[str]) -> dict[str, int]:
    distinct = set(all_strings)
    longer = distinct - SINGLE_BYTES
    return {
        "codes": len(all_strings),
        "duplicates": len(all_strings) - len(distinct),
        "single_bytes": len(distinct) - len(longer),
        "unused_or_impossible": len(longer - used.keys()),
        "useful": len(used),
    }


def _measures(table: SymbolTable, segmented: Sequence[Segmented], segmenter: NeuralSegmenter) -> dict[str, float]:
    measures = Measures.of(Sample.whole(table), segmented, segmenter.strings)
    return {
        "exact_codes": measures.exact_codes,
        "bytes_per_token_before_fallback": measures.bytes_per_token,
        "codes_used": measures.codes_used,
        "perplexity": measures.perplexity,
    }


def _fitted(run: Run, vocabulary: Vocabulary, ids: Sequence[tuple[int, ...]]) -> list[float]:
    """Static scores, fitted on a sample where the pretokens are long; with a target, moved to meet it."""
    table = run.table
    size = FITTED_BYTES * len(table.texts) // sum(map(len, table.texts))
    sample = Sample.of(table, size, _generator(run))
    ids_of = dict(zip(table.pieces, ids, strict=True))
    texts = list(map(run.alphabet.text, sample.pieces))
    wanted = [ids_of[piece] for piece in sample.pieces]
    target = run.config.objective.target_bytes_per_token
    if target is None:
        return fit_scores(vocabulary, texts, sample.weights, wanted)
    scores = fit_scores(vocabulary, texts, sample.weights, wanted, FIRST + CHEAPER, spare=math.inf)
    measured = Sample.of(run.measured, MET_ON, _generator(run))
    texts = list(map(run.alphabet.text, measured.pieces))
    return meeting(measured.bytes / target, vocabulary, scores, texts, measured.weights)


def _final_report(run: Run, model: GQVAE, tokenizer: Tokenizer, own: list[str]) -> dict[str, Any]:
    """On held-out pretokens, if there are any: exactness, agreement, and bytes per token after each stage.

    Args:
        own: the learned strings that are strings of codes.
    """
    table, vocabulary = run.measured, tokenizer.vocabulary
    network = NeuralTokenizer(run, model, vocabulary)
    segmented = network.segmenter.segment(table.pieces)
    network_ids = network.spelled(table.pieces, segmented)
    static = static_ids(vocabulary, tokenizer.scores, table.texts)
    of_codes = _vocabulary(run, own)
    stages = (
        ("gates, nearest codes, fallback", of_codes, NeuralTokenizer(run, model, of_codes, "gates").ids(table.pieces)),
        ("viterbi, nearest few codes, fallback", of_codes, NeuralTokenizer(run, model, of_codes).ids(table.pieces)),
        ("strings of codes alone, fewest tokens", of_codes, _fewest(of_codes, table)),
        ("filled up, fewest tokens", vocabulary, _fewest(vocabulary, table)),
        ("the tokenizer: filled up, fitted scores", vocabulary, static),
    )
    return {
        "vocab_size": len(vocabulary),
        "measured_on": run.measured_on,
        "exact_codes": _measures(table, segmented, network.segmenter)["exact_codes"],
        "agreement": agreement(static, network_ids, table.counts.tolist()),
        "held_out_stages": [
            {"stage": name, "ids": len(stage), "bytes_per_token": _rate(table, ids)} for name, stage, ids in stages
        ],
    }


def _of_target(run: Run, tokenizer: Tokenizer) -> dict[str, Any]:
    """The compression asked for, if one was, and the tokenizer's on held-out pretokens; says if it is missed."""
    target, table = run.config.objective.target_bytes_per_token, run.measured
    if target is None:
        return {}
    reached = _rate(table, static_ids(tokenizer.vocabulary, tokenizer.scores, table.texts))
    if warning := miss(target, reached, _rate(table, _fewest(tokenizer.vocabulary, table))):
        say(f"warning: the tokenizer gives {warning}")
    return {"target": {"bytes_per_token": target, "reached": reached}}


def _fewest(vocabulary: Vocabulary, table: SymbolTable) -> list[tuple[int, ...]]:
    return static_ids(vocabulary, [-1.0] * len(vocabulary.plain_tokens), table.texts)


def _rate(table: SymbolTable, tokens: Sequence[Sequence[int]]) -> float:
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


def _save_segmentations(path: Path, table: SymbolTable, ids: Sequence[tuple[int, ...]]) -> None:
    import pyarrow
    import pyarrow.parquet

    columns = {
        "piece": pyarrow.array(table.texts, pyarrow.large_binary()),
        "count": table.counts,
        "ids": pyarrow.array([list(row) for row in ids], pyarrow.list_(pyarrow.int32())),
    }
    with replacing(path) as temporary:
        pyarrow.parquet.write_table(pyarrow.table(columns), temporary, compression="zstd")
