"""The tokenizer in other programs' formats, each proven to give the ids it claims before it is written."""

from gqvae.export.huggingface import build_huggingface as build_huggingface
from gqvae.export.huggingface import byte_level_alphabet as byte_level_alphabet
from gqvae.export.huggingface import export_huggingface as export_huggingface
