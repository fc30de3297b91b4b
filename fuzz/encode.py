"""Any bytes through the ways to encode one text: nothing lost, offsets in order, no special token out of text."""

import pyarrow  # noqa: F401  only where it is loaded is some text enough for columns

import gqvae
from fuzz.inputs import Choices
from gqvae import GqvaeError, Tokenizer
from gqvae.awkward import AWKWARD_BYTES, AWKWARD_TEXT
from gqvae.patterns import PATTERNS

_WORDS, _SENTENCES = gqvae.load("tinystories-1024"), gqvae.load("wikipedia-8192-superword")
TOKENIZERS = [_SENTENCES] + [Tokenizer(_WORDS.vocabulary, _WORDS.scores, name, name) for name in PATTERNS]
END = "<|endoftext|>"
MUCH = " much text, which is encoded by columns" * 8_000

SEEDS = [
    bytes([number % len(TOKENIZERS)]) + data
    for number, data in enumerate([*(text.encode() for text in AWKWARD_TEXT), *AWKWARD_BYTES])
]


def check(data: bytes) -> None:
    choices = Choices(data)
    tokenizer = choices.of(TOKENIZERS)
    data = choices.rest()
    ids = tokenizer.encode(data)
    assert tokenizer.decode_bytes(ids) == data
    assert all(index < tokenizer.special_ids[END] for index in ids)
    assert b"".join(tokenizer.split(data)) == data
    spans = tokenizer.encode_with_offsets(data)
    assert [index for index, _, _ in spans] == ids
    assert [0, *(end for _, _, end in spans)] == [*(start for _, start, _ in spans), len(data)]
    _check_specials(tokenizer, data)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    assert tokenizer.encode(text) == ids
    assert tokenizer.decode(ids, errors="strict") == text
    assert tokenizer.encode_batch([MUCH, text])[1] == ids
    for (_, start, end), (_, first, last) in zip(tokenizer.encode_with_offsets(text), spans, strict=True):
        assert data[first:last] in text[start:end].encode()


def _check_specials(tokenizer: Tokenizer, data: bytes) -> None:
    allowed = tokenizer.encode(data, allowed_special="all")
    assert tokenizer.decode_bytes(allowed) == data
    assert allowed.count(tokenizer.special_ids[END]) == data.count(END.encode())
    try:
        tokenizer.encode(data, disallowed_special="all")
        assert END.encode() not in data
    except GqvaeError:
        assert END.encode() in data
