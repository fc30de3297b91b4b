"""The command line called in this process, as a person or a script calls it."""

import io
import sys
from typing import NamedTuple

from gqvae import cli


class Result(NamedTuple):
    status: int
    out: bytes
    err: str


def call(*arguments: str, stdin: bytes = b"") -> Result:
    """Run `gqvae ARGUMENTS` in this process."""
    before = sys.stdin, sys.stdout, sys.stderr
    out, err = io.BytesIO(), io.StringIO()
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")
    sys.stdout, sys.stderr = io.TextIOWrapper(out, encoding="utf-8", write_through=True), err
    status: object = None
    try:
        cli.main(list(arguments))
    except SystemExit as exit_:
        status = exit_.code
    finally:
        sys.stdout.flush()
        data = out.getvalue()
        sys.stdin, sys.stdout, sys.stderr = before
    assert status is None or isinstance(status, int)
    return Result(status or 0, data, err.getvalue())
