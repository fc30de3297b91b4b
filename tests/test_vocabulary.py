"""The vocabulary: dense ids, and refusal of what would make them ambiguous."""

from typing import Any

import pytest

from gqvae.errors import GqvaeError
from gqvae.vocabulary import MAX_TOKEN_BYTES, Vocabulary


def test_ids_are_bytes_then_learned_then_specials() -> None:
    vocabulary = Vocabulary((b"the", b"\xff\x00"), ("<|a|>", "<|b|>"))
    assert len(vocabulary) == len(vocabulary.tokens) == 260
    assert vocabulary.tokens[:256] == tuple(bytes([byte]) for byte in range(256))
    assert vocabulary.tokens[256:] == (b"the", b"\xff\x00", b"<|a|>", b"<|b|>")
    assert vocabulary.special_ids == {"<|a|>": 258, "<|b|>": 259}


def test_id_of_inverts_tokens_and_leaves_out_the_specials() -> None:
    vocabulary = Vocabulary((b"the", b"he"))
    assert [vocabulary.id_of[token] for token in vocabulary.plain_tokens] == list(range(258))
    assert b"<|endoftext|>" not in vocabulary.id_of


def test_the_smallest_vocabulary_is_the_bytes() -> None:
    assert len(Vocabulary((), ())) == 256


@pytest.mark.parametrize(
    ("learned", "specials", "message"),
    [
        ((b"a",), (), "1 bytes"),
        ((b"",), (), "0 bytes"),
        ((b"x" * (MAX_TOKEN_BYTES + 1),), (), "256 bytes"),
        ((b"ab", b"cd", b"ab"), (), "0 and 2 are the same"),
        (("ab",), (), "not bytes"),
        ([b"ab"], (), "tuples"),
        ((b"<s>",), ("<s>",), "also a learned token"),
        ((), ("<s>", "<s>"), "twice"),
        ((), ("",), "printable"),
        ((), ("a",), "printable"),
        ((), ("<\n>",), "printable"),
        ((), ("x" * 256,), "printable"),
        ((), ("<\ud800>",), "surrogate"),
        ((), (b"<s>",), "not a str"),
        ((), tuple(f"<{n}>" for n in range(5000)), "too large"),
    ],
)
def test_ambiguous_or_oversized_entries_are_refused(learned: Any, specials: Any, message: str) -> None:
    with pytest.raises(GqvaeError, match=message):
        Vocabulary(learned, specials)
