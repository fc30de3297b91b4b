"""Documents to encode to shards, in small batches, and what two files of tests of them use."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from toys import TEXT, toy

from gqvae.awkward import AWKWARD_TEXT

END = "<|endoftext|>"
TOY = toy()
DOCUMENTS = [TEXT, *(text for text in AWKWARD_TEXT if text), TEXT * 3, f"before {END} after"] * 3
SMALL = 2_000  # bytes of text in a shard


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gqvae.shards.plan._BATCH_BYTES", 500)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def stopping(documents: list[str], after: int) -> Iterator[str]:
    """As if the process were interrupted while it reads document `after`."""
    yield from documents[:after]
    raise KeyboardInterrupt
