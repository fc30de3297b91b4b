"""Any bytes through the ways to encode one text: nothing lost, offsets in order, no special token out of text."""

import gqvae
from fuzz.inputs import Choices
from gqvae import GqvaeError, Tokenizer
from gqvae.awkward import AWKWARD_BYTES, AWKWARD_TEXT
from gqvae.encoder.columns import Columns
from gqvae.encoder.packed import unpack_each
from gqvae.patterns import PATTERNS, begins_at_words

_WORDS, _SENTENCES = gqvae.load("tinystories-1024"), gqvae.load("wikipedia-8192-superword")
TOKENIZERS = [_SENTENCES] + [Tokenizer(_WORDS.vocabulary, _WORDS.scores, name, name) for name in PATTERNS]
END = "<|endoftext|>"
COLUMNS = {
    tokenizer: Columns(tokenizer.pattern, tokenizer._segmenter.segment)
    for tokenizer in TOKENIZERS
    if begins_at_words(tokenizer.pattern)
}
"""What cuts much text; little, as here, would else go word by word."""

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
    if data and tokenizer in COLUMNS:
        assert unpack_each(COLUMNS[tokenizer].packed([data])) == [ids]
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
