"""Tokens of a fixed length."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toys import TEXT, toy

from gqvae.evaluation.fixed import FixedLengthTokenizer
from gqvae.patterns import cut, split

TOY = toy()


@given(st.text(), st.integers(1, 9))
def test_nothing_is_lost(text: str, span: int) -> None:
    fixed = FixedLengthTokenizer(TOY, span)
    assert fixed.decode_bytes(fixed.encode(text)) == text.encode()


@pytest.mark.parametrize("span", [1, 2, 3, 8])
def test_known_pieces_are_one_token_and_others_are_spelled(span: int) -> None:
    fixed = FixedLengthTokenizer(TOY, span)
    wanted: list[int] = []
    for pretoken in split(TEXT, TOY.pattern):
        for piece in cut(pretoken, span):
            known = TOY.vocabulary.id_of.get(piece)
            spelled = [known] if known is not None else fixed.encode(piece.decode()) if _alone(piece) else None
            if spelled is None:
                break
            wanted += spelled
        else:
            continue
        break
    assert wanted == fixed.encode(TEXT)[: len(wanted)]
    assert wanted


def _alone(piece: bytes) -> bool:
    """Whether a piece by itself is one pretoken of whole characters."""
    return split(piece, TOY.pattern) == [piece] and piece.decode(errors="replace").encode() == piece


def test_it_counts_the_ids_of_its_vocabulary() -> None:
    fixed = FixedLengthTokenizer(TOY, 3)
    assert (fixed.vocab_size, fixed.name, fixed.note) == (TOY.vocab_size, "toy", "")
    assert max(len(fixed.decode_bytes([id_])) for id_ in fixed.encode(TEXT)) <= 3 < max(map(len, TOY.split(TEXT)))


def test_a_copy_remembers_nothing_and_gives_the_same_ids() -> None:
    fixed = FixedLengthTokenizer(TOY, 3)
    ids = fixed.encode(TEXT)
    copied = copy.deepcopy(fixed)
    assert fixed._ids_of
    assert not copied._ids_of
    assert copied.encode(TEXT) == ids
