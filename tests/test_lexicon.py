"""What codes stand for, against plain enumeration."""

import math

import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from gqvae.learn.data import as_tensor
from gqvae.learn.lexicon import Lexicon
from gqvae.learn.model import Decoded

K, T = 4, 6
SYMBOLS = "ab\x00\ud7ff"  # few, so that strings end alike, repeat and occur; 0 is also what lies before a pretoken
strings_of_codes = st.lists(st.text(SYMBOLS, min_size=1, max_size=K), min_size=1, max_size=12)
pretokens_of_a_batch = st.lists(st.text(SYMBOLS, min_size=T, max_size=T), min_size=1, max_size=3)


def lexicon_of(strings: list[str], decoded: list[str] | None = None) -> Lexicon:
    return Lexicon.of(strings, decoded or strings, K, torch.device("cpu"))


@given(strings_of_codes, pretokens_of_a_batch)
@example(["a", "\x00a", "\x00\x00a", "\x00"], ["aaaaaa"])  # the padding before a pretoken is no symbol
@example(["b", "ab", "bab", "abab"], ["ababab"])  # suffixes of each other
@example(["a", "aa", "aaa", "a", "aa"], ["aaaaaa", "aabaab"])
def test_looking_up_finds_the_code_of_each_span(strings: list[str], pieces: list[str]) -> None:
    lexicon = lexicon_of(strings)
    found = lexicon.look_up(as_tensor(pieces))
    assert found.shape == (len(pieces), T, K)
    code_of: dict[str, int] = {}
    for b, piece in enumerate(pieces):
        for t in range(T):
            for k in range(K):
                code, span = int(found[b, t, k]), piece[t - k : t + 1] if k <= t else ""
                if span in strings:
                    assert strings[code] == span
                    assert code_of.setdefault(span, code) == code
                else:
                    assert code == -1
    # of several codes that spell the same, always the same one, whatever else is in the batch
    alone = [lexicon.look_up(as_tensor([piece])) for piece in pieces]
    assert torch.equal(torch.cat(alone), found)


def test_a_pretoken_shorter_than_the_longest_token() -> None:
    found = lexicon_of(["a", "ba", "xba"]).look_up(as_tensor(["ba"]))
    assert found.tolist() == [[[-1] * K, [0, 1, -1, -1]]]


@given(strings_of_codes)
def test_strings_are_read_backwards_and_back(strings: list[str]) -> None:
    lexicon = lexicon_of(strings)
    assert lexicon.strings() == strings
    assert lexicon.lengths.tolist() == list(map(len, strings))
    assert lexicon.backwards.tolist() == [
        ([ord(symbol) for symbol in reversed(string)] + [0] * K)[:K] for string in strings
    ]


def test_unsaid_are_the_codes_that_the_decoder_spells_otherwise() -> None:
    assert lexicon_of(["a", "ab", "b", "b"], ["a", "b", "ab", "b"]).unsaid.tolist() == [1, 2]
    nothing = lexicon_of(["a", "ab"]).unsaid
    assert nothing.dtype == torch.long
    assert nothing.shape == (0,)


def test_spelling_costs_what_the_decoder_needs_for_the_strings() -> None:
    def likelihoods(*rows: dict[str, float]) -> Tensor:
        """(K, 256): of each symbol, the last one of the token first."""
        table = torch.full((K, 256), 1e-9)
        for row, given_ in zip(table, rows, strict=False):
            for symbol, probability in given_.items():
                row[ord(symbol)] = probability
        return table.log()

    codebook = Decoded(
        torch.stack([likelihoods({"b": 0.5}, {"a": 0.25}), likelihoods({"c": 0.125})]),
        torch.tensor([[0.1, 0.7, 0.1, 0.1], [0.5, 0.3, 0.1, 0.1]]).log(),
    )
    lexicon = lexicon_of(["zzz", "ab", "zz", "c"])
    ab, c = -math.log(0.5 * 0.25 * 0.7), -math.log(0.125 * 0.5)
    assert_close(lexicon.spelling_cost(codebook, torch.tensor([1, 3])), torch.tensor((ab + c) / 2))
    second = Decoded(codebook.characters[1:], codebook.lengths[1:])
    assert_close(lexicon.spelling_cost(second, torch.tensor([3])), torch.tensor(c))
