"""The tokenizer in other programs' formats, each proven to give the ids it claims before it is written.

`huggingface` and `sentencepiece` hold the tokenizer itself. `portable` is a byte-level BPE near it, with ids of its
own, that every fast runtime shares; `gguf` holds a portable one.

huggingface.py, portable.py, tiktoken.py, sentencepiece.py, gguf.py   the formats
parity.py    the proof, and a folder that appears when it holds
again.py     the proof once more, later
choosing.py  the vocabulary of a portable export
merging.py   byte-pair encoding, trained
chat.py      what transformers is told beside the ids
"""

from gqvae.export.chat import Settings as Settings
from gqvae.export.huggingface import build_huggingface as build_huggingface
from gqvae.export.huggingface import byte_level_alphabet as byte_level_alphabet
from gqvae.export.huggingface import export_huggingface as export_huggingface
