"""The folder of a training run: what is in it, and how a later stage opens it.

config.json               the complete configuration, the corpus as it was named, the package's version, and the hashes
                          of itself and of the next files, but the checkpoint's and the metrics'
pretokens.parquet         distinct pretokens of the training documents, with counts
held_out.parquet          the same of the documents kept from training (by hash)
held_out.jsonl            those documents themselves, up to a limit, to measure on
base/gqvae.json           the tokenizer whose tokens the model reads, if it does not read bytes
checkpoint.safetensors    the training state (`checkpoint`)
metrics.jsonl             one row a log step
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TextIO

import torch

from gqvae.config import Config
from gqvae.corpus import Corpus, is_held_out
from gqvae.corpus.documents import Document, blocks
from gqvae.errors import GqvaeError
from gqvae.files import digest, file_digest, read_json, replacing, write_json
from gqvae.learn.alphabet import WHOLE, Alphabet, SymbolTable
from gqvae.learn.checkpoint import load_model
from gqvae.learn.model import GQVAE
from gqvae.learn.quantizers import make_quantizer
from gqvae.learn.segmenter import Mode, NeuralSegmenter
from gqvae.names import load
from gqvae.pretokens import Counting, PretokenTable
from gqvae.selection import SINGLE_BYTES
from gqvae.terminal import progress, say
from gqvae.vocabulary import Vocabulary

HELD_OUT_BYTES = 64_000_000
"""Held-out text kept for measuring, about; documents past it stay out of training all the same."""


@dataclass(frozen=True)
class Run:
    folder: Path
    config: Config
    corpus: Corpus
    """The text as it was named; its files may be gone."""
    pretokens: PretokenTable
    held_out: PretokenTable

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    @property
    def metrics(self) -> Path:
        return self.folder / "metrics.jsonl"

    @classmethod
    def prepare(cls, folder: Path, config: Config, corpus: Corpus, counting: Counting) -> "Run":
        """Count the corpus and write everything but the training. Raises GqvaeError if `folder` holds a run."""
        if (folder / "config.json").exists():
            raise GqvaeError(f"{folder} already holds a run: continue it with --resume, or name another folder")
        settings = config.pretokens
        base = None if settings.given_base is None else load(settings.given_base)
        window = settings.window if settings.base is None else WHOLE
        kept = folder / "held_out.jsonl"
        with replacing(kept) as temporary, temporary.open("w", encoding="utf-8") as file:
            documents = _set_aside(progress("counting pretokens", corpus.streamed()), settings.held_out, file)
            pretokens = counting.table(documents, settings.pattern, window)
            if corpus.skips.count:
                say(str(corpus.skips))  # before hours of training
            if not pretokens.pieces:
                raise GqvaeError(f"no text to train on in {', '.join(corpus.inputs)}")
        held_out = replace(counting, map=None).table(Corpus((str(kept),)).documents(), settings.pattern, window)
        run = cls(folder, config, corpus, pretokens, held_out)
        if not held_out.pieces:
            say(f"warning: no document is held out, so all that this run measures is measured on {run.measured_on}")
        (run.base / "gqvae.json").unlink(missing_ok=True)  # of a call that did not get this far
        if base:
            base.save(run.base)
        run._write(skipped=corpus.skips.count)
        return run

    def derive(self, folder: Path, config: Config) -> "Run":
        """A run on the same text in another folder, its pretokens cut from those of this one."""
        settings = config.pretokens
        tables = (table.recut(settings.pattern, settings.window) for table in (self.pretokens, self.held_out))
        run = Run(folder, config, self.corpus, *tables)
        run._write(skipped=0)
        return run

    def _write(self, skipped: int) -> None:
        from gqvae import __version__

        self.pretokens.save(self.folder / "pretokens.parquet")
        self.held_out.save(self.folder / "held_out.parquet")
        about = {"version": __version__, "corpus": self.corpus.named(), "skipped": skipped}
        content = {"config": self.config.to_dict(), "provenance": about, "files": _digests(self.folder, self.config)}
        write_json(self.folder / "config.json", content | {"sha256": digest(content)})

    @classmethod
    def open(cls, folder: Path) -> "Run":
        """Raises GqvaeError when `folder` is not a run, or its files are not as they were written."""
        path = folder / "config.json"
        if not path.exists():
            raise GqvaeError(f"{folder} is not the folder of a training run (it has no config.json)")
        content = read_json(path)
        try:
            wanted = content.pop("sha256")
            if digest(content) != wanted:
                raise GqvaeError(f"{path} was changed or damaged (its sha256 does not match); train into a new folder")
            config, corpus = Config.from_dict(content["config"]), Corpus.of_name(content["provenance"]["corpus"])
            files = dict(content["files"])
        except GqvaeError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise GqvaeError(f"{path} is not that of a training run of this version ({error})") from error
        found = _digests(folder, config)
        for name in files | found:
            if files.get(name) != found.get(name):
                raise GqvaeError(f"{folder / name} is missing, changed or damaged; train into a new folder")
        pretokens, held_out = (PretokenTable.load(folder / f"{name}.parquet") for name in ("pretokens", "held_out"))
        return cls(folder, config, corpus, pretokens, held_out)

    @property
    def measured_on(self) -> str:
        return "held-out text" if self.held_out.pieces else "the training text"

    @property
    def mode(self) -> Mode:
        """How the network segments as its objective trained it to."""
        return "gates" if self.config.objective.name == "gates" else "viterbi"

    @property
    def base(self) -> Path:
        """Where the tokenizer is whose tokens the model reads, if it has one."""
        return self.folder / "base"

    @cached_property
    def alphabet(self) -> Alphabet:
        """The symbols the model reads."""
        return Alphabet(None if self.config.pretokens.base is None else load(self.base))

    @cached_property
    def table(self) -> SymbolTable:
        """The pretokens of the training text as the model reads them."""
        return SymbolTable.of(self.pretokens, self.alphabet, self.config.pretokens.window)

    @cached_property
    def measured(self) -> SymbolTable:
        """The pretokens to measure on: held-out ones, or if none were held out those of the training text."""
        if not self.held_out.pieces:
            return self.table
        return SymbolTable.of(self.held_out, self.alphabet, self.config.pretokens.window)

    def codes(self) -> int:
        """V, of this text."""
        return self.config.codes(used_bytes=len(set().union(*self.table.pieces) & SINGLE_BYTES))

    def new_model(self) -> GQVAE:
        """An untrained model of this run's sizes.

        Raises GqvaeError, before it takes the memory, if that is more than the run's checkpoint can hold.
        """
        if self.checkpoint.is_file():
            with torch.device("meta"):
                size = sum(weights.nbytes for weights in self._model().parameters())
            if size > self.checkpoint.stat().st_size:
                raise GqvaeError(f"{self.checkpoint} does not fit its config.json, which asks for {size} bytes")
        return self._model()

    def _model(self) -> GQVAE:
        quantizer = make_quantizer(self.config.quantizer, self.codes(), self.config.model.width)
        return GQVAE(self.config.model, quantizer, self.config.pretokens.window, self.alphabet.size)

    def trained_model(self) -> GQVAE:
        """The model of the last checkpoint, in evaluation mode, on the GPU if there is one and the settings do not say
        otherwise. Raises GqvaeError while training is unfinished."""
        model = self.new_model()
        step = load_model(self.checkpoint, model)
        if step < self.config.training.steps:
            raise GqvaeError(
                f"{self.folder} is trained for {step} of {self.config.training.steps} steps: finish it with --resume"
            )
        use_gpu = torch.accelerator.is_available() and self.config.training.accelerator != "cpu"
        return model.eval().to(torch.accelerator.current_accelerator() if use_gpu else "cpu")

    def segmenter(
        self, mode: Mode, model: GQVAE, vocabulary: Vocabulary | None = None, weight: float | None = None
    ) -> NeuralSegmenter:
        """`model` as a segmenter with this run's settings.

        Args:
            vocabulary: if given, only codes whose text is in it are emitted.
            weight: of reconstruction against the price; by default the final one.
        """
        allowed = None if vocabulary is None else lambda string: self.alphabet.text(string) in vocabulary.id_of
        final = self.config.objective.reconstruction[1]
        return NeuralSegmenter(
            model, mode=mode, price=model.price.item(), weight=final if weight is None else weight,
            candidates=self.config.quantizer.candidates, allowed=allowed,
        )  # fmt: skip


def _digests(folder: Path, config: Config) -> dict[str, str]:
    """The hash of every file that is written before training starts; a base that is trained first is not one."""
    base = [] if config.pretokens.given_base is None else ["base/gqvae.json"]
    names = ["pretokens.parquet", "held_out.parquet", "held_out.jsonl", *base]
    return {name: file_digest(folder / name) for name in names if (folder / name).is_file()}


def _set_aside(documents: Iterator[Document], share: float, file: TextIO) -> Iterator[Document]:
    """Pass on the documents to train on; write the held-out ones to `file`."""
    size = 0
    for document in documents:
        if not is_held_out(document, share):
            yield document
        elif size + len(document) <= HELD_OUT_BYTES:
            text = "".join(blocks(document))
            size += len(text.encode())
            file.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
