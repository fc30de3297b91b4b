"""encode and decode: between bytes and ids, as filters or from a corpus to files."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gqvae.cli.app import (
    INPUTS,
    BadDocuments,
    Between,
    Engine,
    Field,
    OnEngine,
    OnError,
    Tok,
    check_engine,
    corpus_of,
    existing,
    given,
    in_unicode,
    report_skips,
)
from gqvae.cli.stopping import advising
from gqvae.errors import GqvaeError
from gqvae.vocabulary import END_OF_TEXT


class Format(StrEnum):
    bin = "bin"
    parquet = "parquet"


def encode(
    context: typer.Context,
    tokenizer: Tok,
    corpus: Annotated[
        list[str] | None, typer.Argument(metavar="CORPUS", help=f"With --out, the text: {INPUTS}.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", callback=in_unicode, help="Encode CORPUS to token shards in this folder."),
    ] = None,
    format: Annotated[
        Format, typer.Option(help="bin: uint16 or uint32 and offsets; parquet: a row a document.")
    ] = Format.bin,
    end: Annotated[
        str, typer.Option(metavar="NAME", help="The special token after every document; '': nothing.")
    ] = END_OF_TEXT,
    shard_bytes: Annotated[int, typer.Option(min=1, help="The most text in a shard.")] = 1 << 28,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes. Default: one a core, or what memory allows.")
    ] = None,
    engine: OnEngine = Engine.local,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what was interrupted.")] = False,
    separator: Annotated[
        str | None,
        typer.Option(
            help=r"Of stdin: exact bytes between documents (\n \r \t \0 \\ \xNN); default: it is one. Of CORPUS: the "
            "line of .txt that ends a document, default <|endoftext|>; '': a file is a document."
        ),
    ] = None,
    field: Field = "text",
    on_error: BadDocuments = OnError.fail,
) -> None:
    """Encode stdin, a line of ids a document; or a corpus to files.

    With --out, CORPUS goes to token shards that numpy maps into memory (gqvae.shards reads them). The options from
    --format to --resume, --field and --on-error are for that.
    """
    if out is None:
        if ignored := given(context, besides=("tokenizer", "separator")):
            raise typer.BadParameter(f"{ignored[0]} needs --out FOLDER: without it, encode reads stdin")
        _encode_stdin(tokenizer, separator)
    elif not corpus:
        raise typer.BadParameter("--out needs the CORPUS to encode (- for stdin)")
    else:
        from gqvae import machine
        from gqvae.cluster import ray_map
        from gqvae.names import load
        from gqvae.shards import encode_corpus
        from gqvae.shards.encoding import PROCESS
        from gqvae.terminal import progress, say

        check_engine(engine, workers)
        text = existing(corpus_of(corpus, separator, field, on_error))
        with advising(f"continue with the same command and --resume (the shards are in {out})"):
            made = encode_corpus(
                load(tokenizer), progress("encoding", text.streamed()), out,
                end=end or None, format=format.value, shard_bytes=shard_bytes, resume=resume,
                workers=workers or machine.workers(PROCESS), map=ray_map if engine is Engine.ray else None,
            )  # fmt: skip
        report_skips(text)
        documents, tokens, size = (
            sum(getattr(shard, key) for shard in made.shards) for key in ("documents", "tokens", "bytes")
        )
        shards = "1 shard" if len(made.shards) == 1 else f"{len(made.shards)} shards"
        say(f"{documents:,} documents, {size:,} bytes, {tokens:,} tokens in {shards}: {out}")


def _encode_stdin(tokenizer: str, separator: str | None) -> None:
    from gqvae.names import load
    from gqvae.streams import encode_stream, split_stream

    between = _between(separator)
    model = load(tokenizer)
    for document in split_stream(sys.stdin.buffer, between):
        gap = ""
        for ids in filter(None, encode_stream(model, document)):
            sys.stdout.write(gap + " ".join(map(str, ids)))
            gap = " "
        sys.stdout.write("\n")


def decode(tokenizer: Tok, separator: Between = None) -> None:
    """Decode lines of ids, the inverse of encode."""
    from gqvae.names import load
    from gqvae.streams import ids_of_lines

    between = _between(separator)
    model = load(tokenizer)
    out = sys.stdout.buffer
    begun = 1
    for number, ids in ids_of_lines(sys.stdin.buffer):
        if number > 1 and between is None:
            raise GqvaeError("stdin holds several lines of ids: say with --separator what to write between them")
        out.write((between or b"") * (number > begun) + model.decode_bytes(ids))
        begun = number
    out.flush()


def _between(separator: str | None) -> bytes | None:
    from gqvae.streams import unescape

    if separator == "":
        raise typer.BadParameter("--separator: must not be empty")
    try:
        return None if separator is None else unescape(separator)
    except GqvaeError as error:
        raise typer.BadParameter(f"--separator: {error}") from error
