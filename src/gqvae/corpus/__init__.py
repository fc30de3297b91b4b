"""Where text comes from: one stream of documents, each as it is in its file.

sources.py    what people name (files, folders, globs, stdin, URLs, data sets) -> one stream
readers.py    one file or data set -> its documents
documents.py  a document, of any length
"""

from gqvae.corpus.sources import DEFAULT_SEPARATOR, Corpus, TextHash, is_held_out, unlike, write_parts

__all__ = ["DEFAULT_SEPARATOR", "Corpus", "TextHash", "is_held_out", "unlike", "write_parts"]
