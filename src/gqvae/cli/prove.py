"""export and verify: the tokenizer elsewhere, and proof that it is whole."""

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from gqvae.cli.app import AsJson, Out, SeparatorLine, Tok, corpus_of, print_json


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
    samples = progress("comparing", corpus_of(corpus, separator).documents()) if corpus else None
    print_json(export_huggingface(model, out, samples))


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
    from gqvae.terminal import progress
    from gqvae.verify import verify as run_checks

    reports = []
    for tokenizer in tokenizers:
        documents = corpus_of(corpus, separator).documents() if corpus else ()
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
