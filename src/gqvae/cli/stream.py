"""encode and decode: filters between bytes and ids."""

import sys

import typer

from gqvae.cli.app import Between, Tok
from gqvae.errors import GqvaeError


def encode(tokenizer: Tok, separator: Between = None) -> None:
    """Encode stdin, a line of ids a document."""
    from gqvae.streams import split_stream
    from gqvae.tokenizer import load

    between = _between(separator)
    model = load(tokenizer)
    for document in split_stream(sys.stdin.buffer, between):
        sys.stdout.write(" ".join(map(str, model.encode(document))) + "\n")


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


def _id(word: bytes) -> int:
    if not word.isdigit():  # int() would take "+5" and "2_0" too
        raise ValueError(f"{word!r} is no id")
    return int(word)


def _between(separator: str | None) -> bytes | None:
    from gqvae.streams import unescape

    if separator == "":
        raise typer.BadParameter("--separator: must not be empty")
    try:
        return None if separator is None else unescape(separator)
    except GqvaeError as error:
        raise typer.BadParameter(f"--separator: {error}") from error
