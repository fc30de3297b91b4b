"""count, train and distill: from text to a tokenizer."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gqvae.cli.app import (
    INPUTS,
    BadDocuments,
    CountingThreads,
    Engine,
    Field,
    Ids,
    Memory,
    OnEngine,
    OnError,
    Out,
    SeparatorLine,
    check_engine,
    corpus_of,
    existing,
    given,
    in_unicode,
    print_json,
    report_skips,
    size_in_bytes,
)
from gqvae.cli.stopping import advising

if TYPE_CHECKING:
    from gqvae.pretokens import Counting


class Preset(StrEnum):
    tiny = "tiny"
    superword = "superword"
    small = "small"
    paper = "paper"


def _list_quantizers(name: str | None) -> str | None:
    if name == "help":
        from gqvae.learn.quantizers.registry import listing

        typer.echo(listing())
        raise typer.Exit
    return name


def train(
    context: typer.Context,
    out: Out,
    corpus: Annotated[
        list[str] | None, typer.Argument(metavar="CORPUS", help=f"The text: {INPUTS}. Not needed with --resume.")
    ] = None,
    preset: Annotated[Preset, typer.Option(help="Sizes and schedule to start from.")] = Preset.tiny,
    vocab_size: Ids = None,
    objective: Annotated[str | None, typer.Option(help="What trains the gates: marginal or gates.")] = None,
    quantizer: Annotated[
        str | None,
        typer.Option(callback=_list_quantizers, is_eager=True, help="The codebook: a name, or `help` for a list."),
    ] = None,
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
    workers: CountingThreads = None,
    memory: Memory = None,
    engine: OnEngine = Engine.local,
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
    if resume and not corpus and (ignored := given(context, besides=("out", "resume"))):
        raise typer.BadParameter(
            f"--resume alone keeps all settings of the run: leave out {ignored[0]}, or repeat it all"
        )
    chosen = [f"{key}={value}" for key, value in shortcuts.items() if value is not None]
    config = named_preset(preset.value).override([*chosen, *(settings or [])])
    with advising(f"continue with the same command and --resume (the run is in {out})"):
        if resume and (out / "config.json").exists():
            text = corpus_of(corpus, separator, field, on_error) if corpus else None
            training.resume(out, config if corpus else None, text)
        elif not corpus:
            raise typer.BadParameter("name the text to train on" if not resume else f"{out} holds no run to resume")
        else:
            counting = _counting(workers, memory, engine)
            text = existing(corpus_of(corpus, separator, field, on_error))
            training.train(config, text, out, counting=counting)
    terminal.say(f"trained; next: gqvae distill {out} --out TOKENIZER")


def count(
    corpus: Annotated[list[str], typer.Argument(metavar="CORPUS", help=f"The text: {INPUTS}.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", callback=in_unicode, help="The table, as Parquet.")],
    pattern: Annotated[str, typer.Option(help="How text is cut into pretokens: gpt2, gpt4, ...")] = "gpt2",
    window: Annotated[int, typer.Option(min=1, help="The most bytes of a pretoken; longer ones are cut.")] = 16,
    separator: SeparatorLine = None,
    field: Field = "text",
    on_error: BadDocuments = OnError.fail,
    workers: CountingThreads = None,
    memory: Memory = None,
    engine: OnEngine = Engine.local,
) -> None:
    """Count the pretokens of a corpus.

    Writes the distinct ones and how often each occurs, as `gqvae train` does; of any text, in bounded memory.
    """
    from gqvae import terminal

    counting = _counting(workers, memory, engine)
    text = existing(corpus_of(corpus, separator, field, on_error))
    documents = terminal.progress("counting pretokens", text.streamed())
    distinct = counting.to_file(documents, out, pattern, window)
    report_skips(text)
    terminal.say(f"{distinct:,} distinct pretokens: {out}")


def _counting(workers: int | None, memory: str | None, engine: Engine) -> "Counting":
    from gqvae.cluster import ray_map
    from gqvae.pretokens import Counting

    check_engine(engine, workers)
    size = None if memory is None else size_in_bytes(memory)
    return Counting(workers, size, ray_map if engine is Engine.ray else None)


def distill(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder that `gqvae train` made.")],
    out: Out,
    vocab_size: Ids = None,
) -> None:
    """Turn a trained run into a tokenizer.

    The report goes to stdout as JSON.
    """
    from gqvae.learn.distill import distill as run_distillation

    print_json(run_distillation(run, out, vocab_size))
