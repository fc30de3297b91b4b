"""The application and what its verbs share: options, and reading and printing."""

import json
import re
from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from gqvae.errors import GqvaeError

if TYPE_CHECKING:
    from gqvae.corpus import Corpus

app = typer.Typer(
    name="gqvae",
    help="Train a learned, variable-length, lossless tokenizer on your text, and use it like any other.",
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help text: drawing boxes would take longer than all the rest
)


class Engine(StrEnum):
    local = "local"
    ray = "ray"


class OnError(StrEnum):
    fail = "raise"
    skip = "skip"


def is_unicode(argument: str) -> bool:
    """Whether the locale could read it: Python has bytes that it cannot as surrogates."""
    return not re.search(r"[\ud800-\udfff]", argument)


def in_unicode(path: Path | None) -> Path | None:
    """A name to write to: libraries that write take no other, each in its own way."""
    if path is not None and not is_unicode(str(path.absolute())):
        raise typer.BadParameter(f"{str(path)!r} is not valid text in this locale: give another name")
    return path


# Options that several verbs share.
INPUTS = "files, globs, folders, - (stdin) or hf://NAME"
Tok = Annotated[str, typer.Argument(metavar="TOK", help="A tokenizer's folder, or a bundled name.")]
Out = Annotated[Path, typer.Option("--out", metavar="FOLDER", callback=in_unicode, help="Where the result goes.")]
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


Memory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="For counting, about, as in 500MB; more distinct pretokens wait on disk. "
        "Default: 2GB, or half of what this process may have if that is less.",
    ),
]
CountingThreads = Annotated[
    int | None, typer.Option(min=1, help="Threads that count the corpus. Default: one a core, or what memory allows.")
]

OnEngine = Annotated[
    Engine, typer.Option("--engine", help="local, or ray: a Ray cluster (RAY_ADDRESS; else one on this machine).")
]


def check_engine(engine: Engine, workers: int | None) -> None:
    if engine is Engine.ray and workers is not None:
        raise typer.BadParameter("--workers is for --engine local: a Ray cluster has the processors that it has")


def size_in_bytes(text: str) -> int:
    """A size as people write it: 500MB is 500,000,000."""
    units = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]?)B?", text.strip().upper())
    size = int(float(found[1]) * units[found[2]]) if found else 0
    if size < 1:
        raise GqvaeError(f"{text!r} is not a size; write 500MB or 2GB")
    return size


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def given(context: typer.Context, besides: Collection[str]) -> list[str]:
    """The options and arguments on the command line, other than the parameters `besides`, as they are spelled."""
    asked = [parameter for parameter in context.command.params if parameter.name not in besides]
    sources = [context.get_parameter_source(parameter.name or "") for parameter in asked]
    pairs = zip(asked, sources, strict=True)
    return [parameter.opts[0] for parameter, source in pairs if source and source.name == "COMMANDLINE"]


def check_options_of_text(context: typer.Context, *texts: Sequence[str] | None) -> None:
    """Refuse options that say how to read a text where none is given."""
    options = [option for option in given(context, besides=()) if option in ("--separator", "--field", "--on-error")]
    if options and not any(texts):
        raise typer.BadParameter(f"{options[0]} says how to read a text, and none is given")


def corpus_of(
    inputs: Iterable[str], separator: str | None, field: str = "text", on_error: OnError = OnError.fail
) -> "Corpus":
    from gqvae.corpus import DEFAULT_SEPARATOR, Corpus

    line = DEFAULT_SEPARATOR if separator is None else separator or None
    return Corpus(tuple(inputs), separator=line, field=field, on_error=cast(Any, on_error.value))


def existing(corpus: "Corpus") -> "Corpus":
    """The corpus, if its files are there: told before anything is written."""
    corpus.sources()
    return corpus


def read_once(inputs: Sequence[str]) -> None:
    """Refuse to read stdin again, where there is nothing left. inputs: every text, as often as it is read."""
    if inputs.count("-") > 1:
        raise typer.BadParameter("stdin can be read once, and would be read again here: give a file")


def report_skips(corpus: "Corpus") -> None:
    if corpus.skips.count:
        typer.echo(str(corpus.skips), err=True)
