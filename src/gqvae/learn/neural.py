"""The network as a tokenizer: the exact neural segmentation, as ids of a vocabulary. For research.

The encoder never looks past a pretoken, so a tokenizer is a pure function of the pretoken and each distinct one is
segmented once. The tokenizer that people run (`gqvae.tokenizer`) is the static one that imitates this.
"""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from gqvae.learn.model import GQVAE
from gqvae.learn.run import Run
from gqvae.learn.segmenter import Mode, Segmented
from gqvae.memo import Memo
from gqvae.names import load
from gqvae.patterns import split
from gqvae.spelling import spell
from gqvae.vocabulary import Vocabulary


class NeuralTokenizer:
    """Codes whose string is in the vocabulary may be emitted; a span its code does not spell exactly falls back to the
    fewest strings that do.

    Args:
        mode: `viterbi` or `gates`, see `gqvae.learn.segmenter`.
    """

    def __init__(self, run: Run, model: GQVAE, vocabulary: Vocabulary, mode: Mode = "viterbi") -> None:
        self.vocabulary, self.pretokens = vocabulary, run.config.pretokens
        self.name, self.vocab_size = f"network ({mode})", len(vocabulary)
        self.alphabet = run.alphabet
        self._known = {token.decode("latin-1") for token in vocabulary.learned}
        self._longest = max(map(len, vocabulary.plain_tokens))
        self.segmenter = run.segmenter(mode, model, vocabulary)
        self._memo = Memo(self.ids, longest=self.pretokens.window)

    @classmethod
    def load(cls, run: Path, tokenizer: Path, mode: Mode = "viterbi") -> "NeuralTokenizer":
        """From a run's folder and the tokenizer distilled from it."""
        opened = Run.open(run)
        return cls(opened, opened.trained_model(), load(tokenizer).vocabulary, mode)

    def encode(self, text: str | bytes) -> list[int]:
        """The ids of `text`; special tokens are ordinary text."""
        settings = self.pretokens
        pieces = [
            part for piece in split(text, settings.pattern) for part in self.alphabet.read(piece, settings.window)
        ]
        return list(chain.from_iterable(self._memo.values_of(pieces)))

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        return self.vocabulary.decode(ids)

    def ids(self, pieces: Sequence[str]) -> list[tuple[int, ...]]:
        """The ids of distinct pretokens of at most the window."""
        return self.spelled(pieces, self.segmenter.segment(pieces))

    def spelled(self, pieces: Sequence[str], segmented: Sequence[Segmented]) -> list[tuple[int, ...]]:
        """The same for pretokens that are segmented already."""
        return [tuple(self._spelled(piece, result)) for piece, result in zip(pieces, segmented, strict=True)]

    def _spelled(self, piece: str, segmented: Segmented) -> list[int]:
        id_of, strings = self.vocabulary.id_of, self.segmenter.strings
        ids = []
        for span, code in zip(segmented.spans(piece), segmented.codes, strict=True):
            text = self.alphabet.text(span)
            if strings[code] == span and text in id_of:  # it is not where no code at all is allowed
                ids.append(id_of[text])
            else:
                fewest = spell(text.decode("latin-1"), self._known, self._longest)
                ids += [id_of[token.encode("latin-1")] for token in fewest]
        return ids
