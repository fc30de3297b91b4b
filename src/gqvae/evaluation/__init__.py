"""Comparing tokenizers: the measures, and the peers they are taken against.

metrics.py    bytes per token, losslessness, the ids in use
intrinsic.py  words and the frequencies of tokens
peers.py      tokenizers from disk, or trained on the spot by `trained.py`, `unigram.py` and `fixed.py`
figures.py    plots
"""

from gqvae.evaluation.metrics import RatedRow, Row, TokenizerLike, compare, evaluate, rate
from gqvae.evaluation.peers import load_peer, train_peer

__all__ = ["RatedRow", "Row", "TokenizerLike", "compare", "evaluate", "load_peer", "rate", "train_peer"]
