"""From a trained model to a tokenizer: every code is one string, so the codebook is a vocabulary.

1. Decode the codebook; segment every distinct pretoken with the network.
2. Choose the vocabulary: 256 bytes, then the distinct strings of codes that occur, the most useful ones if they are too
   many; then, if they are too few (duplicates, dead codes, strings no pretoken contains), the spans that the
   segmentation needs most, so that N ids are N ids.
3. Segment again with the codes that were kept, and fit one score a string, so that a plain Viterbi search over static
   scores reproduces the network's choice as far as it can.

The report says what each of these did.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gqvae.config import SPECIALS
from gqvae.errors import GqvaeError
from gqvae.exchange import needs, usage, worths
from gqvae.files import replacing, write_json
from gqvae.learn.neural import NeuralTokenizer
from gqvae.learn.run import Run
from gqvae.learn.scores import Fitted, agreement, fit_scores, static_ids
from gqvae.learn.segmenter import Measures, Segmented, Segmenter
from gqvae.pretokens import PretokenTable
from gqvae.spelling import spell
from gqvae.terminal import say
from gqvae.tokenizer import Tokenizer
from gqvae.vocabulary import Vocabulary


def distill(folder: Path, out: Path, vocab_size: int | None = None, name: str | None = None) -> dict[str, Any]:
    """Distill the run in `folder` into a tokenizer in `out`; returns (and writes beside it) the report.

    `out` gets gqvae.json (the tokenizer), segmentations.parquet (the network's segmentation of each distinct pretoken
    of the training text: piece, count, ids) and report.json.

    Args:
        vocab_size: exactly so many ids; default: what the run was trained for, or what its codes give.
    """
    run = Run.open(folder)
    size = vocab_size if vocab_size is not None else run.config.vocab_size
    model = run.trained_model()
    report: dict[str, Any] = {"network": {}}
    for mode in ("gates", "viterbi"):
        say(f"segmenting with the network ({mode})")
        segmenter = run.segmenter(mode, model)
        segmented = segmenter.segment(run.pretokens.pieces)
        report["network"][mode] = _measures(run.pretokens, segmented, segmenter)

    say("choosing the vocabulary")
    strings = _codebook_strings(segmenter, segmented, run.pretokens)
    report["codebook"] = _codebook_report(segmenter.strings, strings)
    learned = choose(strings, run.pretokens, size, run.config.model.longest_token)
    from_codes = sum(string in strings for string in learned)
    report["learned_strings"] = {"all": len(learned), "from_codes": from_codes, "filled_in": len(learned) - from_codes}

    say("fitting the static scores")
    vocabulary = Vocabulary(tuple(learned), SPECIALS)
    neural = NeuralTokenizer(run, vocabulary)
    ids = neural.ids(run.pretokens.pieces)
    vocabulary, ids = _by_use(vocabulary, ids, run.pretokens.counts.tolist())
    fitted = fit_scores(vocabulary, run.pretokens, ids)
    tokenizer = Tokenizer(
        vocabulary, fitted.scores, run.config.pretokens.pattern, name or out.resolve().name, _provenance(run)
    )
    neural = NeuralTokenizer(run, vocabulary)
    report |= _final_report(run, tokenizer, neural, fitted, Vocabulary(tuple(s for s in learned if s in strings)))
    tokenizer.save(out)
    _save_segmentations(out / "segmentations.parquet", run.pretokens, ids)
    write_json(out / "report.json", report)
    return report


def choose(strings: Counter[bytes], table: PretokenTable, size: int | None, longest: int) -> list[bytes]:
    """The learned strings of a vocabulary of `size` ids: the best of `strings` (with their uses), then filled up.

    Raises GqvaeError when the text has not enough different spans for so many ids.
    """
    if size is None:
        return sorted(strings)
    room = size - 256 - len(SPECIALS)
    if room < 1:
        raise GqvaeError(f"a vocabulary of {size} ids has no room for learned strings; ask for more")
    value = worths(strings, strings.keys(), longest)
    chosen = set(sorted(strings, key=lambda string: (-value[string], string))[:room])
    counts = table.counts.tolist()
    # needs overlap, so each round fills half of what is missing; it ends, as every round leaves fewer tokens
    while True:
        spelled = [(spell(piece, chosen, longest), count) for piece, count in zip(table.pieces, counts, strict=True)]
        used = usage(spelled)
        chosen = {string for string in chosen if used[string]}
        missing = room - len(chosen)
        if not missing:
            return sorted(chosen)
        wanted = needs(spelled, chosen | _GIVEN, longest)
        if not wanted:
            raise GqvaeError(
                f"the text has use for {len(chosen) + 256 + len(SPECIALS)} ids, not {size}: "
                "lower --vocab-size, or train on more"
            )
        neediest = sorted(wanted, key=lambda span: (-wanted[span], span))
        chosen |= set(neediest[: missing if missing < 8 else (missing + 1) // 2])


_GIVEN = {bytes([value]) for value in range(256)} | {name.encode() for name in SPECIALS}


def _codebook_strings(segmenter: Segmenter, segmented: Sequence[Segmented], table: PretokenTable) -> Counter[bytes]:
    """Strings of two bytes and more that codes stood for exactly, and how often: what occurs is possible."""
    found: Counter[bytes] = Counter()
    for piece, count, result in zip(table.pieces, table.counts.tolist(), segmented, strict=True):
        for span, code in zip(result.spans(piece), result.codes, strict=True):
            if len(span) > 1 and segmenter.strings[code] == span and span.decode(errors="replace") not in SPECIALS:
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


def _by_use(
    vocabulary: Vocabulary, ids: list[tuple[int, ...]], counts: Iterable[int]
) -> tuple[Vocabulary, list[tuple[int, ...]]]:
    """The same vocabulary in its final order, most used string first, and the ids to match."""
    used: Counter[int] = Counter()
    for row, count in zip(ids, counts, strict=True):
        for id_ in row:
            used[id_] += count
    ordered = sorted(vocabulary.learned, key=lambda string: (-used[vocabulary.id_of[string]], string))
    final = Vocabulary(tuple(ordered), vocabulary.specials)
    new = [final.id_of[token] for token in vocabulary.plain_tokens]
    return final, [tuple(new[id_] for id_ in row) for row in ids]


def _measures(table: PretokenTable, segmented: Sequence[Segmented], segmenter: Segmenter) -> dict[str, float]:
    measures = Measures.of(table.pieces, table.counts.tolist(), segmented, segmenter.strings)
    return {
        "exact_codes": measures.exact_codes,
        "bytes_per_token_before_fallback": measures.bytes_per_token,
        "codes_used": measures.codes_used,
        "perplexity": measures.perplexity,
    }


def _final_report(
    run: Run, tokenizer: Tokenizer, neural: NeuralTokenizer, fitted: Fitted, unfilled: Vocabulary
) -> dict[str, Any]:
    """Bytes per token on held-out pretokens after each stage, exactness, agreement."""
    table = run.held_out if run.held_out.pieces else run.pretokens
    static = static_ids(tokenizer.vocabulary, tokenizer.scores, table.pieces)
    network = neural.ids(table.pieces)
    gates = NeuralTokenizer(run, tokenizer.vocabulary, "gates").ids(table.pieces)
    exact = _measures(table, neural.segmenter.segment(table.pieces), neural.segmenter)["exact_codes"]
    known, longest = set(unfilled.learned), run.config.model.longest_token
    before = [spell(piece, known, longest) for piece in table.pieces]
    return {
        "vocab_size": tokenizer.vocab_size,
        "exact_codes": exact,
        "agreement": agreement(static, network, table.counts.tolist()),
        "agreement_on_training_text": fitted.agreement,
        "held_out_bytes_per_token": {
            "gates_codes_and_fallback": _rate(table, gates),
            "viterbi_codes_and_fallback": _rate(table, network),
            f"codes_alone_static_{256 + len(known) + len(SPECIALS)}_ids": _rate(table, before),
            "static": _rate(table, static),
        },
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
