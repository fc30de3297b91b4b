"""reproduce, compare-quantizers and demo: whole comparisons in one command."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gqvae.cli.app import INPUTS, BadDocuments, Field, OnError, Out, SeparatorLine, corpus_of, existing, report_skips
from gqvae.cli.stopping import advising
from gqvae.errors import GqvaeError

if TYPE_CHECKING:
    from gqvae.corpus import Corpus


class Size(StrEnum):
    default = "default"
    quick = "quick"
    large = "large"


def reproduce(
    out: Out,
    corpus: Annotated[
        list[str] | None, typer.Argument(metavar="[CORPUS]", help=f"The text: {INPUTS}. Default: that of the demo.")
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

    if quick and size is Size.large:
        raise typer.BadParameter("--quick is --size quick: leave one of the two out")
    chosen = SIZES["quick" if quick else size.value].override(settings or [])
    text = _to_read(corpus_of(corpus, separator, field, on_error), out) if corpus else None
    named = text.named() if text else {"inputs": ["Python's own text"]}
    documents = text.documents() if text else python_corpus()
    with advising("continue with the same command"):
        results = run(chosen, named, documents, out, parallel, jobs)
    if text:
        report_skips(text)
    for row in results["comparisons"]:
        typer.echo(terminal.comparison(row))
    typer.echo(f"look at {out / 'report.html'}")
    if results["failures"]:
        raise GqvaeError(f"{len(results['failures'])} cells failed; the report says which")


def compare_quantizers(
    corpus: Annotated[list[str], typer.Argument(metavar="CORPUS", help=f"The text: {INPUTS}.")],
    out: Out,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="arms, seeds, steps, vocab_size, cost_sizes, ... Repeatable."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Cells at work at once.")] = 1,
    separator: SeparatorLine = None,
    field: Field = "text",
    on_error: BadDocuments = OnError.fail,
) -> None:
    """Compare quantizers: one corpus, one budget, several seeds.

    Writes results.json, table.md and use_by_rank.svg to --out. Interrupted, it goes on with the same command.
    """
    from gqvae.zoo.results import tables
    from gqvae.zoo.run import compare_quantizers as run
    from gqvae.zoo.settings import ZooSettings

    text = _to_read(corpus_of(corpus, separator, field, on_error), out)
    results = run(ZooSettings().override(settings or []), text.named(), text.documents(), out, jobs)
    report_skips(text)
    typer.echo(tables(results))
    if results["failures"]:
        raise GqvaeError(f"{len(results['failures'])} cells failed; {out / 'results.json'} says which")


def _to_read(corpus: "Corpus", out: Path) -> "Corpus":
    """The corpus, if its files are there, or are not needed any more: a comparison that goes on has its own copy."""
    from gqvae.reproduce.workspace import Space

    return corpus if Space(out).about.exists() else existing(corpus)


def demo(
    out: Out = Path("out/demo"),
) -> None:
    """Train on Python's own text, compare with BPE.

    Takes minutes on two cores and no network.
    """
    from gqvae.demo import run

    run(out)
