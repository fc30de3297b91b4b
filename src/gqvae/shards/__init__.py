"""Token shards: a corpus as ids on disk, for whoever trains a language model on them.

    index.json          what made the shards, and the documents, tokens, bytes and hashes of each
    00000.bin           the ids of shard 0 end to end: little-endian uint16, or uint32 beyond 65,536 ids
    00000.offsets.npy   int64, one more than the shard has documents: document i is ids[offsets[i] : offsets[i + 1]]
    00000.parquet       in the place of both, if so asked: a row a document, its ids in the column `ids`

A document ends with the id `end`, if that is not null; no other special id occurs.

index.py     index.json
plan.py      which document goes to which shard
encoding.py  a corpus -> shards
writing.py   the files of one shard
reading.py   shards -> ids
"""

from typing import TYPE_CHECKING, Any

from gqvae.shards.reading import Shards

if TYPE_CHECKING:
    from gqvae.shards.encoding import encode_corpus as encode_corpus

__all__ = ["Shards", "encode_corpus"]


def __getattr__(name: str) -> Any:
    """To read shards takes no tokenizer: what writes them is imported when it is asked for."""
    if name != "encode_corpus":
        raise AttributeError(f"module 'gqvae.shards' has no attribute {name!r}")
    from gqvae.shards.encoding import encode_corpus

    return encode_corpus
