"""Tokenizers to compare with, trained on the spot by Hugging Face `tokenizers` at its own defaults.

All are byte-level, with all 256 bytes and one special token, so that their N counts exactly what ours counts: bytes,
learned tokens, specials. They differ in what a token may span:

- `bpe`, `wordpiece`: GPT-2's words.
- `sentence_bpe`: a sentence, as the pattern "sentence" cuts it.
- `superbpe`: words first, then sentences (Liu et al. 2025, arXiv 2503.13423).
- `single_bytes`: a byte.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from gqvae.patterns import PATTERNS
from gqvae.vocabulary import END_OF_TEXT

SMALLEST_PEER = 257
"""The bytes and END_OF_TEXT."""

INSIDE = "\u25b8"
"""What marks a WordPiece that is not the first of its word: a character that stands for no byte ("##" may be two)."""
LONGEST_WORD = 64
"""Bytes at which words are cut for WordPiece."""

Merges = list[tuple[str, str]]
"""Pairs of tokens in the byte-level alphabet, the first learned first."""

# One character for each id, where there are no surrogates: room for a million.
_FIRST_SYMBOL = 0x10000


def bpe(documents: Iterable[str], size: int) -> Tokenizer:
    """Merges inside words."""
    return _train(models.BPE(), trainers.BpeTrainer, _words(), documents, size)


def wordpiece(documents: Iterable[str], size: int) -> Tokenizer:
    """The longest piece of a word first, then the longest piece of its rest.

    A byte has two ids, at the beginning of a word and inside it. Words are cut at 64 bytes: by default those of more
    than 100 would be unknown, and time grows faster than the length of a word.
    """
    pieces = pre_tokenizers.Sequence([_words(), pre_tokenizers.Split(Regex(f".{{1,{LONGEST_WORD}}}"), "isolated")])
    # Given to the trainer as special tokens, the bytes inside words all have an id, and always the same: it would give
    # ids to those it meets, in the random order of a hash table (tokenizers#1794).
    inside = [INSIDE + character for character in sorted(pre_tokenizers.ByteLevel.alphabet())]
    trainer = partial(trainers.WordPieceTrainer, continuing_subword_prefix=INSIDE)
    trained = _train(
        _wordpiece({END_OF_TEXT: 0}), trainer, pieces, documents, size, special_tokens=[END_OF_TEXT, *inside]
    )
    tokenizer = _byte_level(_wordpiece(_model(trained)["vocab"]), pieces)
    tokenizer.add_special_tokens([END_OF_TEXT])
    return tokenizer


def _wordpiece(vocabulary: dict[str, int]) -> models.Model:
    return models.WordPiece(vocabulary, unk_token=END_OF_TEXT, continuing_subword_prefix=INSIDE)


def sentence_bpe(documents: Iterable[str], size: int) -> Tokenizer:
    """Merges anything inside a sentence from the start."""
    return _train(models.BPE(), trainers.BpeTrainer, _sentences(), documents, size)


def superbpe(documents: Iterable[str], size: int, transition: int | None = None) -> Tokenizer:
    """Merges inside words up to `transition` ids, then anything inside sentences. Holds the documents in memory.

    An early transition compresses better, a late one models better. The default is two fifths of `size`: of the
    authors' releases with 200k ids the one that compresses best turns at 80k. As in these, encoding applies all merges
    in order, without regard to words. Unlike there, no stage looks beyond a sentence and words are GPT-2's.
    """
    texts = list(documents)
    tokenizer = bpe(texts, transition or max(SMALLEST_PEER, size * 2 // 5))
    tokenizer.pre_tokenizer = _sentences()
    # One merge too many, in the place of one that spells END_OF_TEXT. No others spell a token that is there already:
    # the tokens side by side in a BPE's text are what it makes of that string, whatever stands around.
    return _extended(tokenizer, _further_merges(tokenizer, texts, size + 1), size)


def single_bytes(documents: Iterable[str], size: int) -> Tokenizer:
    """No merges at all: 257 ids, whatever is asked for."""
    return bpe((), SMALLEST_PEER)


TRAINERS: dict[str, Callable[..., Tokenizer]] = {
    "bpe": bpe,
    "wordpiece": wordpiece,
    "sentence-bpe": sentence_bpe,
    "superbpe": superbpe,
    "bytes": single_bytes,
}
"""By kind: what takes documents and one size, or for superbpe two."""


def with_merges(tokenizer: Tokenizer, size: int) -> Tokenizer:
    """The BPE of `size` ids that training on the same text would have given: the first merges of a larger one."""
    model = _model(tokenizer)
    vocabulary = {token: id_ for token, id_ in model["vocab"].items() if id_ < size}
    merges = [(left, right) for left, right in model["merges"][: size - SMALLEST_PEER]]
    smaller = _byte_level(models.BPE(vocabulary, merges), tokenizer.pre_tokenizer)
    smaller.add_special_tokens([END_OF_TEXT])
    return smaller


def _further_merges(tokenizer: Tokenizer, texts: Sequence[str], size: int) -> Merges:
    """What BPE would merge next, up to `size` ids, in the pieces that `tokenizer` makes of `texts`.

    `tokenizers` cannot go on from given merges. So each id becomes one character, and a plain BPE over these goes on.
    """
    tokens = {_FIRST_SYMBOL + id_: token for token, id_ in tokenizer.get_vocab().items()}
    symbols = list(map(chr, sorted(tokens)))
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=symbols, show_progress=False)
    plain = Tokenizer(models.BPE())  # without a pre-tokenizer: a string is one piece
    plain.train_from_iterator(_in_symbols(tokenizer, texts, symbols), trainer)
    return [(left.translate(tokens), right.translate(tokens)) for left, right in _model(plain)["merges"]]


def _in_symbols(tokenizer: Tokenizer, texts: Sequence[str], symbols: Sequence[str]) -> Iterator[str]:
    """Yield every piece that `tokenizer` makes of `texts`, each token as the symbol of its id."""
    for text in texts:
        for piece, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text):
            yield "".join([symbols[token.id] for token in tokenizer.model.tokenize(piece)])


def _extended(tokenizer: Tokenizer, merges: Merges, size: int) -> Tokenizer:
    """`tokenizer`, a BPE, with as many of `merges` after its own as it takes to have `size` ids."""
    model = _model(tokenizer)
    vocabulary: dict[str, int] = model["vocab"]
    all_merges: Merges = [(left, right) for left, right in model["merges"]]
    for left, right in merges:
        if len(vocabulary) >= size:
            break
        vocabulary.setdefault(left + right, len(vocabulary))
        all_merges.append((left, right))
    extended = _byte_level(models.BPE(vocabulary, all_merges), tokenizer.pre_tokenizer)
    extended.add_special_tokens([END_OF_TEXT])
    return extended


def _train(
    model: models.Model,
    trainer: Callable[..., trainers.Trainer],
    pieces: pre_tokenizers.PreTokenizer,
    documents: Iterable[str],
    size: int,
    special_tokens: Sequence[str] = (END_OF_TEXT,),
) -> Tokenizer:
    tokenizer = _byte_level(model, pieces)
    options = {"vocab_size": size, "special_tokens": list(special_tokens), "show_progress": False}
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(documents, trainer(initial_alphabet=alphabet, **options))
    return tokenizer


def _byte_level(model: models.Model, pieces: pre_tokenizers.PreTokenizer) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pieces
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _words() -> pre_tokenizers.PreTokenizer:
    """GPT-2's words, in the byte-level alphabet."""
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


def _sentences() -> pre_tokenizers.PreTokenizer:
    """Sentences, in the byte-level alphabet."""
    sentence = pre_tokenizers.Split(Regex(str(PATTERNS["sentence"])), "isolated")
    return pre_tokenizers.Sequence([sentence, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def _model(tokenizer: Tokenizer) -> Any:
    """The model as `tokenizers` writes it: "vocab", token to id, and "merges", pairs in order."""
    return json.loads(tokenizer.to_str())["model"]
