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

from gqvae.shards.encoding import encode_corpus
from gqvae.shards.reading import Shards

__all__ = ["Shards", "encode_corpus"]
