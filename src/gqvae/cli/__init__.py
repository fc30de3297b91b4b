"""The command `gqvae`: one thin verb per stage.

Data goes to stdout, progress and errors to stderr. Exit status: 0 done, 1 failed, 2 wrong usage, 128 + N stopped by
signal N.

app.py        what verbs share: options, reading and printing
train.py      count, train, distill
stream.py     encode, decode
measure.py    evaluate, show
prove.py      export, verify
compare.py    reproduce, compare-quantizers, demo
stopping.py   Ctrl-C and SIGTERM
"""

import errno
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, NoReturn

import typer

from gqvae.cli import compare, measure, prove, stream, train
from gqvae.cli.app import app
from gqvae.cli.stopping import Stopped, stoppable
from gqvae.errors import GqvaeError, to_install


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        import gqvae

        typer.echo(f"gqvae {gqvae.__version__}")
        raise typer.Exit


for verb in (
    train.train, train.distill, train.count, stream.encode, stream.decode, measure.evaluate, prove.export, prove.verify,
    measure.show, compare.reproduce, compare.compare_quantizers, compare.demo,
):  # fmt: skip
    app.command()(verb)


_NOT_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EPIPE, errno.EIO)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; the one place where exceptions become messages and a status.

    Anything unexpected keeps its traceback: it is a bug, and its report needs it.
    """
    _open_streams()
    try:
        with stoppable():
            try:
                app(arguments, prog_name="gqvae")
            finally:
                sys.stdout.flush()  # what a full disk does not take is told here, not as the interpreter ends
    except Stopped as stopped:
        _fail(str(stopped), 128 + stopped.signal)
    except GqvaeError as error:
        _fail(str(error))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "gqvae":
            raise
        _fail(f"this needs the package {error.name}: {to_install(error.name)}")
    except MemoryError as error:
        _fail(f"out of memory ({error}): try smaller documents or fewer --workers")
    except OSError as error:
        if error.filename:
            _fail(f"{error.filename}: {error.strerror}")
        _drop_stdout()
        _fail(f"cannot write to stdout: {error.strerror}" if error.errno in _NOT_WRITTEN else str(error))


def _open_streams() -> None:
    """Have an empty stdin, and places to write to, where a daemon started this without them."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


def _drop_stdout() -> None:
    """Have what is still to be written go nowhere, or the end of the process would try, and fail, again."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, status: int = 1) -> NoReturn:
    print("gqvae: error:", " ".join(message.splitlines()), file=sys.stderr)
    sys.exit(status)
