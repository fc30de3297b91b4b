"""A corpus -> token shards: resumable, in bounded memory, over any number of processes.

What goes where follows from the documents alone (`gqvae.shards.plan`), so that the shards are the same to the byte
however the work was shared out, and whether or not it was interrupted.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Protocol

from gqvae import __version__
from gqvae.corpus.documents import Document
from gqvae.errors import GqvaeError
from gqvae.files import LOCK, PARTIAL, locked
from gqvae.parallel import map_in_processes
from gqvae.shards.index import FORMATS, INDEX, Index, Maker, check_files
from gqvae.shards.plan import Batch, plan
from gqvae.shards.writing import EncodedBatch, write_shard
from gqvae.tokenizer import Found, Tokenizer
from gqvae.vocabulary import END_OF_TEXT

SHARD_BYTES = 1 << 28
PROCESS = 450_000_000
"""Bytes of memory that a process takes at most, with a document of a few megabytes."""


class OrderedMap(Protocol):
    """What computes the batches: like the builtin `map`, results in the order of the items."""

    def __call__(
        self, function: Callable[[Batch], EncodedBatch], batches: Iterable[Batch], /
    ) -> Iterable[EncodedBatch]: ...


def encode_corpus(
    tokenizer: Tokenizer,
    documents: Iterable[Document],
    folder: str | Path,
    *,
    end: str | None = END_OF_TEXT,
    format: str = "bin",
    shard_bytes: int = SHARD_BYTES,
    resume: bool = False,
    workers: int = 0,
    map: OrderedMap | None = None,
) -> Index:
    """Encode all documents to shards in `folder`; returns what index.json says.

    Args:
        end: the special token that follows every document, or None for nothing. The text of a special token in a
            document is ordinary text.
        format: "bin" or "parquet".
        shard_bytes: the most UTF-8 bytes of text in a shard; a document that is longer has one of its own.
        resume: go on with what an interrupted call has left, given the same tokenizer, text and options. Finished
            shards are checked and kept; their text is read, not encoded.
        workers: processes; 0 or 1 encodes in this one.
        map: computes the batches instead, for example on other machines.

    Raises:
        GqvaeError: the folder is in use, holds other things, or was begun with another tokenizer, text or options;
            a finished shard is damaged; a document holds a lone surrogate.
    """
    folder = Path(folder)
    ordered = map or partial(_in_processes, workers=workers, tokenizer=tokenizer)
    maker = _maker(tokenizer, end, format, shard_bytes)
    with locked(folder):
        index = _begin(folder, maker, resume)
        batches = _after(index, plan(documents, shard_bytes, tokenizer.pattern), folder)
        encoded = ordered(partial(encode_batch, tokenizer=tokenizer, end=maker.end), batches)
        for number, group in groupby(encoded, key=attrgetter("shard")):
            index.shards.append(write_shard(folder, number, maker, group))
            index.write(folder)
        index = replace(index, complete=True)
        index.write(folder)
    return index


def encode_batch(batch: Batch, tokenizer: Tokenizer, end: int | None) -> EncodedBatch:
    """The ids of a batch, each document followed by the id `end`."""
    ids, lengths = array("I"), array("q")
    last = len(batch.documents) - 1
    for number, found in enumerate(tokenizer.encode_to_arrays(batch.documents)):
        if end is not None and not (batch.goes_on and number == last):
            found.append(end)
        ids += found
        lengths.append(len(found))
    size = sum(map(len, batch.documents))
    return EncodedBatch(batch.shard, ids, lengths, size, batch.corpus_sha256, batch.goes_on)


def _in_processes(
    function: Callable[[Batch], EncodedBatch], batches: Iterable[Batch], workers: int, tokenizer: Tokenizer
) -> Iterator[EncodedBatch]:
    return map_in_processes(function, batches, workers, learner=Found(tokenizer))


def _maker(tokenizer: Tokenizer, end: str | None, format: str, shard_bytes: int) -> Maker:
    if format not in FORMATS:
        raise GqvaeError(f"unknown format {format!r}; there are {', '.join(FORMATS)}")
    if shard_bytes < 1:
        raise GqvaeError(f"shards of {shard_bytes} bytes of text: give at least 1")
    if end is not None and end not in tokenizer.special_ids:
        known = ", ".join(tokenizer.special_ids) or "none"
        raise GqvaeError(f"{tokenizer.name} has no special token {end!r} to end a document (it has: {known})")
    id_ = None if end is None else tokenizer.special_ids[end]
    return Maker(tokenizer.name, tokenizer.sha256, tokenizer.vocab_size, id_, format, shard_bytes, __version__)


def _begin(folder: Path, maker: Maker, resume: bool) -> Index:
    """The index to go on with; removes what a killed process has left half-written."""
    if not (folder / INDEX).exists():
        others = [path.name for path in folder.iterdir() if path.name != LOCK]
        if others:
            raise GqvaeError(f"{folder} holds other files ({', '.join(sorted(others)[:3])}): give a folder of its own")
        return _new_index(folder, maker)
    index = Index.read(folder)
    for path in folder.glob(f"[0-9]*{PARTIAL}"):
        path.unlink()
    if not index.shards and not index.complete:  # a call that found something wrong with its text, or was killed
        for name in index.maker.names(0):
            (folder / name).unlink(missing_ok=True)  # whole, and not in the index yet
        return _new_index(folder, maker)
    if not resume:
        raise GqvaeError(f"{folder} holds shards already: resume, or give another folder")
    if index.maker != maker:
        changed = [key for key, value in vars(maker).items() if getattr(index.maker, key) != value]
        raise GqvaeError(f"{folder} was begun with another {changed[0]}: repeat that, or give another folder")
    check_files(folder, index.shards)
    return index


def _new_index(folder: Path, maker: Maker) -> Index:
    index = Index(maker, [], complete=False)
    index.write(folder)
    return index


def _after(index: Index, batches: Iterable[Batch], folder: Path) -> Iterator[Batch]:
    """The batches of the shards that are not finished, once the text of those that are has proven the same."""
    finished, seen = len(index.shards), 0
    other = GqvaeError(f"{folder} was begun with another text: give the same, or another folder")
    for number, group in groupby(batches, key=attrgetter("shard")):
        if number >= finished and index.complete:
            raise other
        if number >= finished:
            yield from group
            continue
        for batch in group:
            last = batch.corpus_sha256
        if last != index.shards[number].corpus_sha256:
            raise other
        seen = number + 1
    if seen < finished:
        raise other
