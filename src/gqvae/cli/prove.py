"""export and verify: the tokenizer elsewhere, and proof that it is whole."""

from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gqvae.cli.app import (
    AsJson,
    BadDocuments,
    Field,
    OnError,
    Out,
    SeparatorLine,
    check_options_of_text,
    corpus_of,
    print_json,
    read_once,
    report_skips,
)
from gqvae.errors import GqvaeError

if TYPE_CHECKING:
    from collections import Counter

    from gqvae.bpe import BPETokenizer
    from gqvae.corpus import Corpus
    from gqvae.export.chat import Settings
    from gqvae.tokenizer import Tokenizer


class Format(StrEnum):
    huggingface = "huggingface"
    portable = "portable"
    sentencepiece = "sentencepiece"
    gguf = "gguf"


def export(
    context: typer.Context,
    tokenizer: Annotated[
        str, typer.Argument(metavar="TOK", help="A tokenizer's folder, a bundled name, or a portable export.")
    ],
    out: Out,
    format: Annotated[
        Format,
        typer.Option(help="portable: a BPE near it, for tiktoken and others; gguf: of a portable export."),
    ] = Format.huggingface,
    corpus: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="More text to prove the ids equal, and to measure, on. Repeatable."),
    ] = None,
    train_corpus: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE", help="portable: text to choose from; default: what the tokenizer learned from. Repeatable."
        ),
    ] = None,
    separator: SeparatorLine = None,
    keep: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="portable: share of the bytes per token to keep, or fail. Default: 0.98."),
    ] = None,
    merges_only: Annotated[
        bool, typer.Option("--merges-only", help="portable: no ids for whole words alone; a plain BPE.")
    ] = False,
    field: Field = "text",
    on_error: BadDocuments = OnError.fail,
    special: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Add a special token after all ids. Repeatable.")
    ] = None,
    chat_template: Annotated[
        str | None, typer.Option(metavar="FILE", help="A Jinja file, or chatml: adds <|im_start|> and <|im_end|>.")
    ] = None,
    pad_token: Annotated[str | None, typer.Option(help="Which special token pads; default: <|pad|>.")] = None,
    padding_side: Annotated[Literal["left", "right"] | None, typer.Option(help="Where transformers pads.")] = None,
    model_max_length: Annotated[int | None, typer.Option(min=1, help="Tokens a model takes.")] = None,
) -> None:
    """Export the tokenizer, with ids proven equal.

    AutoTokenizer loads the folder without custom code (formats huggingface, portable). The report goes to stdout as
    JSON, and to the folder. Exit status 1, and nothing is written, when a proof fails.
    """
    from gqvae.export.chat import Settings
    from gqvae.names import folder_of
    from gqvae.terminal import progress

    settings = Settings(
        chat_template=chat_template,
        more_specials=tuple(special or ()),
        pad_token=pad_token,
        padding_side=padding_side,
        model_max_length=model_max_length,
    )
    check_options_of_text(context, corpus, train_corpus)
    read_once([*(corpus or []), *(train_corpus or [])])
    if out.exists() and out.samefile(folder_of(tokenizer)):
        raise GqvaeError(f"{out} is what is to be exported, and would be replaced: give another folder")
    _refuse_useless(format, settings, bool(train_corpus) or merges_only or keep is not None)
    text = corpus_of(corpus, separator, field, on_error) if corpus else None
    samples = progress("comparing", text.documents()) if text else None
    match format:
        case Format.huggingface:
            from gqvae.export.huggingface import export_huggingface

            report = export_huggingface(_loaded(tokenizer), out, samples, settings)
        case Format.portable:
            from gqvae.export.portable import KEEP, export_portable

            learned, kept = _learned(tokenizer), KEEP if keep is None else keep
            counted_text = corpus_of(train_corpus, separator, field, on_error) if train_corpus else None
            counts = _counts(tokenizer, learned.pattern, counted_text)
            report = export_portable(learned, out, counts, samples, settings, keep=kept, merges_only=merges_only)
        case Format.sentencepiece:
            from gqvae.export.sentencepiece import export_sentencepiece

            report = export_sentencepiece(_learned(tokenizer), out, samples)
        case Format.gguf:
            from gqvae.export.gguf import export_gguf

            report = export_gguf(_portable(tokenizer), out, samples)
    if text:
        report_skips(text)
    print_json(report)


def _refuse_useless(format: Format, settings: "Settings", about_portable: bool) -> None:
    """An option that would be ignored is a mistake."""
    from gqvae.export.chat import Settings

    if settings != Settings() and format not in (Format.huggingface, Format.portable):
        raise typer.BadParameter(f"special tokens, templates and padding go into a tokenizer.json, not into {format}")
    if about_portable and format != Format.portable:
        raise typer.BadParameter("--train-corpus, --merges-only and --keep are for --format portable")


def _loaded(name: str) -> "Tokenizer | BPETokenizer":
    from gqvae.export.portable import is_portable, load_portable
    from gqvae.names import folder_of
    from gqvae.tokenizer import Tokenizer

    folder = folder_of(name)
    return load_portable(folder) if is_portable(folder) else Tokenizer.load(folder)


def _learned(name: str) -> "Tokenizer":
    from gqvae.tokenizer import Tokenizer

    tokenizer = _loaded(name)
    if not isinstance(tokenizer, Tokenizer):
        raise GqvaeError(f"{name} is a portable export already: name the tokenizer it was made from")
    return tokenizer


def _portable(name: str) -> "BPETokenizer":
    from gqvae.bpe import BPETokenizer

    tokenizer = _loaded(name)
    if not isinstance(tokenizer, BPETokenizer):
        raise GqvaeError(f"gguf holds a BPE: first gqvae export {name} --format portable, then export that folder")
    return tokenizer


def _counts(name: str, pattern: str, text: "Corpus | None") -> "Counter[bytes]":
    from gqvae.export.portable import count, counted
    from gqvae.names import folder_of
    from gqvae.terminal import progress

    if text:
        counts = count(progress("counting", text.documents()), pattern)
        report_skips(text)
        return counts
    kept = counted(folder_of(name))
    if kept is None:
        raise GqvaeError(f"{name} does not keep the text it learned from: name it, or text like it, by --train-corpus")
    return kept


def verify(
    context: typer.Context,
    tokenizers: Annotated[list[str], typer.Argument(metavar="TOK", help="Folders or bundled names.")],
    corpus: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Text that must survive a round trip. Repeatable."),
    ] = None,
    exports: Annotated[
        list[str] | None,
        typer.Option("--export", metavar="FOLDER", help="An export whose ids must still be those of TOK. Repeatable."),
    ] = None,
    separator: SeparatorLine = None,
    field: Field = "text",
    on_error: BadDocuments = OnError.fail,
    as_json: AsJson = False,
) -> None:
    """Prove tokenizers whole and lossless, and exports equal.

    Exit status 1 when a check fails.
    """
    from gqvae.terminal import progress
    from gqvae.verify import verify as run_checks

    if exports and len(tokenizers) > 1:
        raise typer.BadParameter("--export is an export of one TOK: name that alone")
    check_options_of_text(context, corpus)
    read_once((corpus or []) * (len(tokenizers) + len(exports or [])))
    reports = []
    text = corpus_of(corpus, separator, field, on_error) if corpus else None

    def documents(name: str) -> Iterable[str]:
        return progress(f"verifying {name}", text.documents() if text else ())

    for tokenizer in tokenizers:
        checks = run_checks(tokenizer, documents(tokenizer))
        for folder in exports or ():
            from gqvae.export.again import verify_export

            checks.append(verify_export(tokenizer, folder, documents(folder)))
        round_trips = [check.ok for check in checks if check.round_trip]
        reports.append(
            {
                "name": tokenizer,
                "ok": all(check.ok for check in checks),
                "lossless": bool(round_trips) and all(round_trips),
                "checks": [{"name": check.name, "ok": check.ok, "detail": check.detail} for check in checks],
            }
        )
    if text:
        report_skips(text)
    if as_json:
        print_json(reports)
    else:
        _print_checks(reports)
    if not all(report["ok"] for report in reports):
        raise typer.Exit(1)


def _print_checks(reports: Iterable[dict[str, Any]]) -> None:
    for report in reports:
        typer.echo(f"{report['name']}:")
        for check in report["checks"]:
            typer.echo(f"  {'ok    ' if check['ok'] else 'FAILED'} {check['name']}: {check['detail']}")
        typer.echo(f"  lossless: {str(report['lossless']).lower()}")
