"""Comparing tokenizers: the measures, and the peers they are taken against."""

from gqvae.evaluation.metrics import RatedRow, Row, TokenizerLike, compare, evaluate, rate
from gqvae.evaluation.peers import load_peer, train_peer

__all__ = ["RatedRow", "Row", "TokenizerLike", "compare", "evaluate", "load_peer", "rate", "train_peer"]
