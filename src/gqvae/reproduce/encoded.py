"""Documents as one tokenizer's ids, on disk: all that a language model, or anyone who checks a figure, needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy
import pyarrow
import pyarrow.parquet
from numpy.typing import NDArray

from gqvae.errors import GqvaeError
from gqvae.evaluation.metrics import TokenizerLike
from gqvae.files import replacing


@dataclass(frozen=True)
class Encoded:
    """The ids of documents.

    documents: one array of int64 ids each. sizes: UTF-8 bytes of each. vocab_size: ids that there are.
    """

    documents: list[NDArray[numpy.int64]]
    sizes: list[int]
    vocab_size: int

    @classmethod
    def of(cls, tokenizer: TokenizerLike, documents: Sequence[str]) -> "Encoded":
        """Raises GqvaeError where decoding does not give the bytes back: figures would be of another text."""
        ids, sizes = [], []
        for number, document in enumerate(documents, 1):
            row, data = tokenizer.encode(document), document.encode()
            if tokenizer.decode_bytes(row) != data:
                raise GqvaeError(f"{tokenizer.name} loses text in document {number}; bits per byte need all of it")
            ids.append(numpy.array(row, dtype=numpy.int64))
            sizes.append(len(data))
        return cls(ids, sizes, tokenizer.vocab_size)

    @property
    def tokens(self) -> int:
        return sum(map(len, self.documents))

    @property
    def bytes(self) -> int:
        return sum(self.sizes)

    def save(self, path: Path) -> None:
        """Write Parquet: a row a document, columns ids (list of int32) and bytes; vocab_size in the metadata."""
        columns = {
            "ids": pyarrow.array(self.documents, pyarrow.list_(pyarrow.int32())),
            "bytes": pyarrow.array(self.sizes, pyarrow.int64()),
        }
        table = pyarrow.table(columns, metadata={"vocab_size": str(self.vocab_size)})
        with replacing(path) as temporary:
            pyarrow.parquet.write_table(table, temporary, compression="zstd")

    @classmethod
    def load(cls, path: Path) -> "Encoded":
        """Read what `save` wrote. Raises GqvaeError for anything else."""
        try:
            table = pyarrow.parquet.read_table(path)
            size = int((table.schema.metadata or {})[b"vocab_size"])
            documents = [row.values.to_numpy().astype(numpy.int64) for row in table["ids"]]
            return cls(documents, table["bytes"].to_pylist(), size)
        except (OSError, pyarrow.ArrowException, KeyError, ValueError) as error:
            raise GqvaeError(f"{path} does not hold encoded documents ({error})") from error
