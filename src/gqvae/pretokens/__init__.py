"""Documents -> pretoken counts: how often a corpus has each of the pieces a tokenizer never looks across.

A tokenizer is a function of the pretoken alone and text repeats, so every later stage works on this table:
after the count, cost grows with the vocabulary of the corpus and not with its size.

batches.py   documents -> blocks of text that split by themselves, hashed on the way
pieces.py    a batch -> its distinct pretokens, counted
tally.py     the sum over batches
spill.py     what of it waits on disk
ranking.py   most frequent first
table.py     the result, and its file
counting.py  all of it, in several threads
"""

from gqvae.patterns import PATTERNS, cut, split
from gqvae.pretokens.counting import Counting, count_pretokens
from gqvae.pretokens.table import PretokenTable

__all__ = ["PATTERNS", "Counting", "PretokenTable", "count_pretokens", "cut", "split"]
