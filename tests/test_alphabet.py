"""Text as symbols and back, and the tables that a model reads."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toys import TEXT, toy

from gqvae.awkward import AWKWARD_BYTES, AWKWARD_TEXT
from gqvae.errors import GqvaeError
from gqvae.learn.alphabet import LARGEST_BASE, WHOLE, Alphabet, SymbolTable
from gqvae.patterns import cut, split
from gqvae.pretokens import count_pretokens
from gqvae.tokenizer import Tokenizer
from gqvae.vocabulary import Vocabulary

BASE = toy()
OF_BYTES, OF_TOKENS = Alphabet(), Alphabet(BASE)
each = pytest.mark.parametrize("alphabet", [OF_BYTES, OF_TOKENS], ids=["bytes", "tokens"])


@each
@given(text=st.binary(max_size=60) | st.text(max_size=40).map(str.encode), window=st.integers(1, 12))
def test_reading_loses_nothing(alphabet: Alphabet, text: bytes, window: int) -> None:
    parts = alphabet.read(text, window)
    assert b"".join(map(alphabet.text, parts)) == text
    assert all(1 <= len(part) <= window for part in parts)
    assert all(value < alphabet.size for value in map(ord, "".join(parts)))


@each
def test_awkward_text_survives(alphabet: Alphabet) -> None:
    for text in [*map(str.encode, AWKWARD_TEXT), *AWKWARD_BYTES, TEXT.encode()]:
        assert b"".join(map(alphabet.text, alphabet.read(text, 7))) == text


def test_symbols_are_bytes_or_ids() -> None:
    text = TEXT.encode()
    assert [part.encode("latin-1") for part in OF_BYTES.read(text, 7)] == cut(text, 7)
    parts, ids = OF_TOKENS.read(text, 7), BASE.encode(text)
    assert list(map(ord, "".join(parts))) == ids
    assert list(map(len, parts)) == [7] * (len(ids) // 7) + [len(ids) % 7] * bool(len(ids) % 7)
    assert max(ids) >= 256


@each
def test_single_bytes_are_the_first_symbols(alphabet: Alphabet) -> None:
    assert [alphabet.text(chr(value)) for value in range(256)] == [bytes([value]) for value in range(256)]


def test_the_size_leaves_out_what_text_cannot_reach() -> None:
    assert OF_BYTES.size == 256
    assert OF_TOKENS.size == BASE.vocab_size - 1


def test_a_base_is_no_larger_than_there_are_characters() -> None:
    def base(size: int) -> Tokenizer:
        learned = tuple(number.to_bytes(3) for number in range(size - 256))
        return Tokenizer(Vocabulary(learned), [0.0] * size, "none", "large")

    assert Alphabet(base(LARGEST_BASE)).size == LARGEST_BASE
    "".join(map(chr, range(LARGEST_BASE))).encode()  # not so for a surrogate
    with pytest.raises(GqvaeError, match=f"at most {LARGEST_BASE} ids, not {LARGEST_BASE + 1}"):
        Alphabet(base(LARGEST_BASE + 1))


@each
@pytest.mark.parametrize("window", [3, 16])
def test_a_table_counts_what_is_read(alphabet: Alphabet, window: int) -> None:
    documents = [TEXT, *AWKWARD_TEXT, TEXT]
    counted = count_pretokens(documents, pattern="sentence", window=WHOLE)
    table = SymbolTable.of(counted, alphabet, window)
    pieces = [piece for document in documents for piece in split(document, "sentence")]
    expected = Counter(part for piece in pieces for part in alphabet.read(piece, window))
    ranked = sorted(expected.items(), key=lambda item: (-item[1], item[0]))
    assert list(zip(table.pieces, table.counts.tolist(), strict=True)) == ranked
    assert table.texts == list(map(alphabet.text, table.pieces))
    assert table.total_bytes == sum(len(document.encode()) for document in documents)
