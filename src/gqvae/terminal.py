"""What a person sees: progress on stderr, tables and coloured tokens on stdout.

rich is imported where it is used: it costs as much as the rest of the command line together.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from gqvae.evaluation import RatedRow

_Document = TypeVar("_Document", bound=Sized)

# Neighbouring tokens never share a colour; readable on dark and light backgrounds.
_COLOURS = tuple(f"black on bright_{name}" for name in ("cyan", "yellow", "green", "magenta"))


def say(message: str) -> None:
    """Tell what is going on, on stderr."""
    print(message, file=sys.stderr, flush=True)


def progress(label: str, documents: Iterable[_Document]) -> Iterator[_Document]:
    """Pass the documents on, and show on stderr how many have gone by, where stderr is a terminal."""
    if not sys.stderr.isatty():
        yield from documents
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label)
        characters = 0
        for number, document in enumerate(documents, 1):
            yield document
            characters += len(document)
            seen = f"{number:,} documents, {characters / 1e6:.1f} M characters"
            bar.update(task, description=f"{label}: {seen}")


def steps(start: int, total: int, describe: Callable[[], str]) -> Iterator[int]:
    """The steps from `start` to `total`, with a progress bar on stderr where that is a terminal."""
    if not sys.stderr.isatty():
        yield from range(start, total)
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(*Progress.get_default_columns(), console=Console(stderr=True), refresh_per_second=2) as bar:
        task = bar.add_task(describe(), total=total, completed=start)
        for step in range(start, total):
            yield step
            bar.update(task, advance=1, description=describe())


class Bar:
    """One progress bar for work of many parts; where stderr is no terminal, a line for each change."""

    def __init__(self) -> None:
        self._bar: Any = None

    def __enter__(self) -> "Bar":
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress, TimeElapsedColumn

            columns = (*Progress.get_default_columns(), TimeElapsedColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), refresh_per_second=2)
            self._task = self._bar.add_task("starting")
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, done: int, total: int, now: Sequence[str]) -> None:
        """So many parts are done, these are at work."""
        if self._bar:
            self._bar.update(self._task, completed=done, total=total, description=", ".join(now))
        else:
            say(f"{done} of {total} done; now: {', '.join(now) or 'nothing'}")


def evaluation_table(rows: Sequence["RatedRow"], reference: str) -> "Table":
    """The rows of `gqvae evaluate` as a table; `ratio` is to the bytes per token of `reference`."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"{rows[0]['bytes']:,} bytes in {rows[0]['documents']:,} documents")
    table.add_column("tokenizer", overflow="fold")
    for heading in ("ids", "bytes/token", f"x {escape(reference)}", "tokens", "used ids", "lossless"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            escape(row["name"]),
            f"{row['vocab_size']:,}",
            f"{row['bytes_per_token']:.4f}",
            "-" if row["ratio"] is None else f"{row['ratio']:.4f}",
            f"{row['tokens']:,}",
            f"{row['used_ids']:,}",
            "yes" if row["lossless"] else "[red]NO[/red]",
        )
    notes = [f"{row['name']}: {row['note']}" for row in rows if row["note"]]
    table.caption = escape("\n".join(notes)) or None
    return table


def comparison(row: Mapping[str, Any]) -> str:
    """One line on a comparison of two language models."""
    interval = "" if row["interval"] is None else f" ± {row['interval']:.4f}"
    bits = f"{row['ours_mean']:.4f} and {row['peer_mean']:.4f} bits per byte"
    difference = f"{row['difference']:+.4f}{interval} ({row['seeds']} seeds)"
    return f"{row['ours']} against {row['peer']}, same {row['matched']}: {bits}, {difference}: {row['verdict']}"


def coloured_tokens(ids: Sequence[int], tokens: Sequence[bytes]) -> "Text":
    """The tokens one after the other, each in its colour and followed by (id:bytes)."""
    from rich.text import Text

    line = Text()
    for number, (id_, token) in enumerate(zip(ids, tokens, strict=True)):
        line.append(visible(token), style=_COLOURS[number % len(_COLOURS)])
        line.append(f"({id_}:{len(token)})", style="dim")
        line.append("\n" if b"\n" in token else " ")
    return line


def visible(token: bytes) -> str:
    r"""Spell a token so that each of its bytes can be seen and it stays on one line.

    >>> visible(b" the"), visible(b"\n\t"), visible("é".encode()), visible(b"\xc3"), visible(b"\x00")
    ('␣the', '⏎⇥', 'é', '\\xc3', '\\x00')
    """
    text = token.decode("utf-8", errors="backslashreplace")
    text = text.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def print_out(what: "Table | Text") -> None:
    """Print to stdout: in colours and at its width on a terminal, plain and unbroken into a pipe."""
    from rich.console import Console

    console = Console() if sys.stdout.isatty() else Console(width=100_000, color_system=None)
    console.print(what, soft_wrap=not sys.stdout.isatty(), crop=False)
