"""evaluate and show: what a tokenizer makes of a text."""

import os
import sys
from typing import Annotated

import typer

from gqvae.cli.app import (
    INPUTS,
    AsJson,
    BadDocuments,
    Field,
    OnError,
    SeparatorLine,
    corpus_of,
    is_unicode,
    print_json,
    read_once,
    report_skips,
)
from gqvae.errors import GqvaeError


def evaluate(
    tokenizers: Annotated[list[str], typer.Argument(metavar="TOK", help="Folders, bundled names or hf:FOLDER.")],
    corpus: Annotated[list[str], typer.Option(metavar="FILE", help=f"The text to measure on: {INPUTS}. Repeatable.")],
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
    if train_corpus and not to_train:
        terminal.say("warning: no peer is trained here, so --train-corpus is not read")
    read_once([*corpus, *(train_corpus or []) * len(to_train)])
    text = corpus_of(corpus, separator, field, on_error)
    training_text = corpus_of(train_corpus or corpus, separator, field, on_error)
    names = [*tokenizers, *peers]
    # What is loaded comes first: a mistyped folder should not cost the training of a peer.
    loaded = {spec: load_peer(spec) for spec in names if spec not in to_train}
    for spec in to_train:
        loaded[spec] = train_peer(spec, terminal.progress(f"training {spec}", training_text.documents()))
    rows = compare([loaded[spec] for spec in names], terminal.progress("measuring", text.documents()))
    report_skips(text)
    if to_train:
        report_skips(training_text)
    report = rate(rows, reference=len(tokenizers) if peers else 0)
    for name, row in zip(names, report, strict=True):
        row["name"] = name  # as it was asked for: two folders may hold tokenizers of the same name
    if as_json:
        print_json(report)
    else:
        terminal.print_out(terminal.evaluation_table(report, (peers or names)[0]))


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
    elif not is_unicode(text):
        text = as_text(os.fsencode(text))
    ids = model.encode(text)
    tokens = [model.decode_bytes([id_]) for id_ in ids]
    terminal.print_out(terminal.coloured_tokens(ids, tokens))
    size = len(text.encode("utf-8"))
    rate = f"{size / len(ids):.3f} bytes per token" if ids else "no tokens"
    typer.echo(f"{size:,} bytes, {len(ids):,} tokens, {rate}")


def _is_trained(spec: str) -> bool:
    from gqvae.evaluation.peers import parse_trained_peer

    try:
        return parse_trained_peer(spec) is not None
    except GqvaeError as error:
        raise typer.BadParameter(str(error)) from error
