"""The command `gqvae`: one thin verb per stage.

Data goes to stdout, progress and errors to stderr. Exit status: 0 done, 1 failed, 2 wrong usage.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, cast

import typer

from gqvae.errors import GqvaeError

if TYPE_CHECKING:
    from gqvae.corpus import Corpus

app = typer.Typer(
    name="gqvae",
    help="Train a learned, variable-length, lossless tokenizer on your text, and use it like any other.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help text: drawing boxes would take longer than all the rest
)


class Preset(StrEnum):
    tiny = "tiny"
    superword = "superword"
    small = "small"
    paper = "paper"


class Size(StrEnum):
    default = "default"
    quick = "quick"
    large = "large"


class OnError(StrEnum):
    fail = "raise"
    skip = "skip"


# Options that several verbs share.
_INPUTS = "files, globs, folders, - (stdin) or hf://NAME"
Tok = Annotated[str, typer.Argument(metavar="TOK", help="A tokenizer's folder, or a bundled name.")]
Out = Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where the result goes.")]
Between = Annotated[
    str | None,
    typer.Option(
        "--separator",
        help=r"Exact bytes between documents (\n \r \t \0 \\ \xNN). Default: stdin is one document.",
    ),
]
SeparatorLine = Annotated[
    str | None,
    typer.Option(
        "--separator",
        help="The line of .txt that ends a document, default <|endoftext|>; '': a file is a document.",
    ),
]
Field = Annotated[str, typer.Option(help="Where .jsonl, .parquet and data sets keep the text.")]
BadDocuments = Annotated[OnError, typer.Option("--on-error", help="At a document that cannot be read.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Ids = Annotated[int | None, typer.Option(min=258, help="Ids of the tokenizer, every one counted.")]


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        import gqvae

        typer.echo(f"gqvae {gqvae.__version__}")
        raise typer.Exit


@app.command()
def train(
    out: Out,
    corpus: Annotated[
        list[str] | None, typer.Argument(metavar="CORPUS", help=f"The text: {_INPUTS}. Not needed with --resume.")
    ] = None,
    preset: Annotated[Preset, typer.Option(help="Sizes and schedule to start from.")] = Preset.tiny,
    vocab_size: Ids = None,
    objective: Annotated[str | None, typer.Option(help="What trains the gates: marginal or gates.")] = None,
    quantizer: Annotated[str | None, typer.Option(help="The codebook: cosine, ema or gradient.")] = None,
    pattern: Annotated[str | None, typer.Option(help="How text is cut into pretokens: gpt2, gpt4, ...")] = None,
    base: Annotated[
        str | None, typer.Option(help="Read the tokens of this tokenizer; words:N trains one of N ids first.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same machine: same ids.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Optimisation steps.")] = None,
    target_bytes_per_token: Annotated[
        float | None, typer.Option(help="The compression to reach; the vocabulary then holds at most its ids.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any other setting. Repeatable.")
    ] = None,
    separator: SeparatorLine = None,
    field: Field = "text",
    on_error: BadDocuments = OnError.fail,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that count a large corpus. Default: one a core.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
) -> None:
    """Train a GQ-VAE on a corpus.

    Everything goes to the folder --out. An interrupted run continues with the same command and --resume, or with
    --out and --resume alone.
    """
    from gqvae import terminal
    from gqvae.learn import training
    from gqvae.presets import preset as named_preset

    shortcuts = {
        "vocab_size": vocab_size,
        "objective.name": objective,
        "quantizer.name": quantizer,
        "pretokens.pattern": pattern,
        "pretokens.base": base,
        "seed": seed,
        "training.steps": steps,
        "objective.target_bytes_per_token": target_bytes_per_token,
    }
    given = [f"{key}={value}" for key, value in shortcuts.items() if value is not None]
    given += settings or []
    if resume and given and not corpus:
        raise typer.BadParameter("--resume alone keeps the settings of the run: leave yours out, or repeat it all")
    config = named_preset(preset.value).override(given)
    if resume and (out / "config.json").exists():
        training.resume(out, config if corpus else None, corpus)
    elif not corpus:
        raise typer.BadParameter("name the text to train on" if not resume else f"{out} holds no run to resume")
    else:
        training.train(config, _corpus(corpus, separator, field, on_error), out, workers=workers)
    terminal.say(f"trained; next: gqvae distill {out} --out TOKENIZER")


@app.command()
def distill(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder that `gqvae train` made.")],
    out: Out,
    vocab_size: Ids = None,
) -> None:
    """Turn a trained run into a tokenizer.

    The report goes to stdout as JSON.
    """
    from gqvae.learn.distill import distill as run_distillation

    _print_json(run_distillation(run, out, vocab_size))


@app.command()
def encode(tokenizer: Tok, separator: Between = None) -> None:
    """Encode stdin, a line of ids a document."""
    from gqvae.streams import split_stream
    from gqvae.tokenizer import load

    between = _between(separator)
    model = load(tokenizer)
    for document in split_stream(sys.stdin.buffer, between):
        sys.stdout.write(" ".join(map(str, model.encode(document))) + "\n")


@app.command()
def decode(tokenizer: Tok, separator: Between = None) -> None:
    """Decode lines of ids, the inverse of encode."""
    from gqvae.tokenizer import load

    between = _between(separator)
    model = load(tokenizer)
    out = sys.stdout.buffer
    for number, line in enumerate(sys.stdin.buffer, 1):
        if number > 1 and between is None:
            raise GqvaeError("stdin holds several lines of ids: say with --separator what to write between them")
        try:
            ids = [_id(word) for word in line.split()]
        except ValueError as error:
            raise GqvaeError(f"stdin, line {number}: not a line of ids: {error}") from error
        out.write((between or b"") * (number > 1) + model.decode_bytes(ids))
    out.flush()


@app.command()
def evaluate(
    tokenizers: Annotated[list[str], typer.Argument(metavar="TOK", help="Folders, bundled names or hf:FOLDER.")],
    corpus: Annotated[list[str], typer.Option(metavar="FILE", help=f"The text to measure on: {_INPUTS}. Repeatable.")],
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PEER",
            help="bpe:N, unigram:N, wordpiece:N, sentence-bpe:N, superbpe:N[:T] or bytes:257, trained now; or a TOK. "
            "Repeatable.",
        ),
    ] = None,
    train_corpus: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="What those peers are trained on. Repeatable.")
    ] = None,
    separator: SeparatorLine = None,
    field: Field = "text",
    on_error: BadDocuments = OnError.fail,
    as_json: AsJson = False,
) -> None:
    """Measure tokenizers on a text, beside peers.

    Bytes per token of the untouched text, whether it came back exactly, the ids used, and the ratio to the
    bytes per token of the first --against (without one: of the first TOK).
    """
    from gqvae import terminal
    from gqvae.evaluation import compare, load_peer, rate, train_peer

    peers = against or []
    to_train = [spec for spec in peers if _is_trained(spec)]
    if to_train and not train_corpus:
        raise typer.BadParameter(f"--against {to_train[0]} needs --train-corpus FILE, the text to train it on")
    if "-" in corpus and "-" in (train_corpus or []):
        raise typer.BadParameter("stdin can be read once: give a file to --corpus or to --train-corpus")
    text = _corpus(corpus, separator, field, on_error)
    training_text = _corpus(train_corpus or corpus, separator, field, on_error)
    names = [*tokenizers, *peers]
    # What is loaded comes first: a mistyped folder should not cost the training of a peer.
    loaded = {spec: load_peer(spec) for spec in names if spec not in to_train}
    for spec in to_train:
        loaded[spec] = train_peer(spec, terminal.progress(f"training {spec}", training_text.documents()))
    rows = compare([loaded[spec] for spec in names], terminal.progress("measuring", text.documents()))
    _report_skips(text)
    report = rate(rows, reference=len(tokenizers) if peers else 0)
    for name, row in zip(names, report, strict=True):
        row["name"] = name  # as it was asked for: two folders may hold tokenizers of the same name
    if as_json:
        _print_json(report)
    else:
        terminal.print_out(terminal.evaluation_table(report, (peers or names)[0]))


@app.command()
def export(
    tokenizer: Tok,
    out: Out,
    corpus: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="More text to prove the ids equal on. Repeatable."),
    ] = None,
    separator: SeparatorLine = None,
) -> None:
    """Export to Hugging Face, with ids proven equal.

    AutoTokenizer loads the folder without custom code. The report goes to stdout as JSON.
    """
    from gqvae.export import export_huggingface
    from gqvae.terminal import progress
    from gqvae.tokenizer import load

    model = load(tokenizer)
    samples = progress("comparing", _corpus(corpus, separator).documents()) if corpus else None
    _print_json(export_huggingface(model, out, samples))


@app.command()
def verify(
    tokenizers: Annotated[list[str], typer.Argument(metavar="TOK", help="Folders or bundled names.")],
    corpus: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Text that must survive a round trip. Repeatable."),
    ] = None,
    separator: SeparatorLine = None,
    as_json: AsJson = False,
) -> None:
    """Prove tokenizers whole and lossless.

    Exit status 1 when a check fails.
    """
    from gqvae.export import verify as run_checks
    from gqvae.terminal import progress

    reports = []
    for tokenizer in tokenizers:
        documents = _corpus(corpus, separator).documents() if corpus else ()
        checks = run_checks(tokenizer, progress(f"verifying {tokenizer}", documents))
        round_trips = [check.ok for check in checks if "round-trip" in check.name]
        reports.append(
            {
                "name": tokenizer,
                "ok": all(check.ok for check in checks),
                "lossless": bool(round_trips) and all(round_trips),
                "checks": [{"name": check.name, "ok": check.ok, "detail": check.detail} for check in checks],
            }
        )
    if as_json:
        _print_json(reports)
    else:
        _print_checks(reports)
    if not all(report["ok"] for report in reports):
        raise typer.Exit(1)


@app.command()
def show(
    tokenizer: Annotated[str, typer.Argument(metavar="TOK", help="A folder, bundled name or hf:FOLDER.")],
    text: Annotated[str | None, typer.Argument(metavar="[TEXT]", help="Default: stdin.")] = None,
) -> None:
    """Show the tokens of a text in colours.

    Each is followed by (id:bytes).
    """
    from gqvae import terminal
    from gqvae.evaluation import load_peer
    from gqvae.streams import as_text

    model = load_peer(tokenizer)
    if text is None:
        text = as_text(sys.stdin.buffer.read())
    ids = model.encode(text)
    tokens = [model.decode_bytes([id_]) for id_ in ids]
    terminal.print_out(terminal.coloured_tokens(ids, tokens))
    size = len(text.encode("utf-8"))
    rate = f"{size / len(ids):.3f} bytes per token" if ids else "no tokens"
    typer.echo(f"{size:,} bytes, {len(ids):,} tokens, {rate}")


@app.command()
def reproduce(
    out: Out,
    corpus: Annotated[
        list[str] | None, typer.Argument(metavar="[CORPUS]", help=f"The text: {_INPUTS}. Default: that of the demo.")
    ] = None,
    size: Annotated[Size, typer.Option(help="default: two hours on two cores; large: for a GPU.")] = Size.default,
    quick: Annotated[bool, typer.Option("--quick", help="A first look in under ten minutes: --size quick.")] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="vocab_size, seeds, probe.width, ... Repeatable."),
    ] = None,
    parallel: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help='One text in many languages: .jsonl of {"language": ..., "text": ...}.'),
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Cells at work at once. Default: one a core.")] = None,
    separator: SeparatorLine = None,
    field: Field = "text",
    on_error: BadDocuments = OnError.fail,
) -> None:
    """Compare with BPE, Unigram and others, language models included.

    Writes report.html, figures and results.json to --out. Interrupted, it goes on with the same command.
    """
    from gqvae import terminal
    from gqvae.demo import python_corpus
    from gqvae.reproduce.run import reproduce as run
    from gqvae.reproduce.settings import SIZES

    chosen = SIZES["quick" if quick else size.value].override(settings or [])
    text = _corpus(corpus, separator, field, on_error) if corpus else None
    results = run(
        chosen, corpus or ["Python's own text"], text.documents() if text else python_corpus(), out, parallel, jobs
    )
    if text:
        _report_skips(text)
    for row in results["comparisons"]:
        typer.echo(terminal.comparison(row))
    typer.echo(f"look at {out / 'report.html'}")
    if results["failures"]:
        raise GqvaeError(f"{len(results['failures'])} cells failed; the report says which")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where everything goes.")] = Path("out/demo"),
) -> None:
    """Train on Python's own text, compare with BPE.

    Takes minutes on two cores and no network.
    """
    from gqvae.demo import run

    run(out)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; the one place where exceptions become messages and a status.

    Anything unexpected keeps its traceback: it is a bug, and its report needs it.
    """
    try:
        app(arguments, prog_name="gqvae")
    except GqvaeError as error:
        _fail(str(error))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "gqvae":
            raise
        _fail(f"this needs the package {error.name}: pip install 'gqvae[train]'")
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))


def _id(word: bytes) -> int:
    if not word.isdigit():  # int() would take "+5" and "2_0" too
        raise ValueError(f"{word!r} is no id")
    return int(word)


def _fail(message: str) -> NoReturn:
    print("gqvae: error:", " ".join(message.splitlines()), file=sys.stderr)
    sys.exit(1)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _print_checks(reports: Iterable[dict[str, Any]]) -> None:
    for report in reports:
        typer.echo(f"{report['name']}:")
        for check in report["checks"]:
            typer.echo(f"  {'ok    ' if check['ok'] else 'FAILED'} {check['name']}: {check['detail']}")
        typer.echo(f"  lossless: {str(report['lossless']).lower()}")


def _corpus(
    inputs: Iterable[str], separator: str | None, field: str = "text", on_error: OnError = OnError.fail
) -> "Corpus":
    from gqvae.corpus import DEFAULT_SEPARATOR, Corpus

    line = DEFAULT_SEPARATOR if separator is None else separator or None
    return Corpus(tuple(inputs), separator=line, field=field, on_error=cast(Any, on_error.value))


def _report_skips(corpus: "Corpus") -> None:
    if corpus.skips.count:
        typer.echo(str(corpus.skips), err=True)


def _is_trained(spec: str) -> bool:
    from gqvae.evaluation.peers import parse_trained_peer

    try:
        return parse_trained_peer(spec) is not None
    except GqvaeError as error:
        raise typer.BadParameter(str(error)) from error


def _between(separator: str | None) -> bytes | None:
    from gqvae.streams import unescape

    if separator == "":
        raise typer.BadParameter("--separator: must not be empty")
    try:
        return None if separator is None else unescape(separator)
    except GqvaeError as error:
        raise typer.BadParameter(f"--separator: {error}") from error
