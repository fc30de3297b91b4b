"""Small tokenizers for tests."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from gqvae.bpe import segment
from gqvae.patterns import split
from gqvae.tokenizer import Tokenizer
from gqvae.vocabulary import Vocabulary

TEXT = (
    'Once upon a time there was a little girl who didn\'t like the rain. "Look, Mum!" she said, and the'
    " rain\nstopped. Она сказала: привет. 天气很好，天气很好。 def f(x):\n    return x + 1  # f\n\n  "
    "👍🏽 👩\u200d👩\u200d👧 1234 12.5\r\n"
)


def toy(
    pattern: str = "gpt2", size: int = 700, longest: int = 8, specials: tuple[str, ...] = ("<|endoftext|>",)
) -> Tokenizer:
    """A tokenizer of `size` ids: the strings that fill most of TEXT, some ending within a character."""
    counts: Counter[bytes] = Counter()
    for piece, count in Counter(split(TEXT, pattern)).items():
        for start in range(len(piece)):
            for end in range(start + 2, min(start + longest, len(piece)) + 1):
                counts[piece[start:end]] += count
    ranked = sorted(counts, key=lambda token: (-counts[token] * len(token), token))
    learned = tuple(ranked[: size - 256 - len(specials)])
    scores = [-9.0] * 256 + [math.log(counts[token] / counts.total()) for token in learned]
    return Tokenizer(Vocabulary(learned, specials), scores, pattern, "toy", {"seed": 0})


def merged_tokens(order: Sequence[bytes], counts: Mapping[bytes, int]) -> int:
    """Tokens that BPE by the ranks `order` makes of pretokens that occur so often."""
    ranks = {token: rank for rank, token in enumerate(order)}
    return sum(number * len(segment(piece, ranks)) for piece, number in counts.items())
