"""The vocabulary of the portable export: strings that BPE reaches, chosen by what the text would cost without them."""

from collections import Counter

import pytest
from toys import TEXT, merged_tokens, toy

from gqvae.bpe import pair_of
from gqvae.errors import GqvaeError
from gqvae.export import choosing
from gqvae.export.choosing import choose, in_order, losses
from gqvae.export.portable import count, portable_bpe
from gqvae.tokenizer import Tokenizer
from gqvae.vocabulary import Vocabulary

COUNTS = count([TEXT * 3, TEXT.upper(), "the rain, the girl, the little girl: the rain didn't stop"], "gpt2")


def test_the_loss_of_a_token_is_what_the_text_would_cost_more() -> None:
    counts = Counter({b" rain": 5, b" rainy": 2, b" train": 3, b"a": 4})
    order = [b"ai", b"ain", b" r", b" rain"]
    loss = losses(counts, order)
    for token in (b"ain", b" rain"):  # no other is made of these
        without = [other for other in order if other != token]
        assert loss[token] == merged_tokens(without, counts) - merged_tokens(order, counts)


def test_the_order_is_that_of_what_is_spelled() -> None:
    order = in_order(Counter({b"abx": 2, b"aby": 2, b"zz": 9}), {b"zz", b"ab", b"q!"})
    assert order == [b"ab", b"zz", b"q!"]


def test_exactly_as_many_all_reachable_and_the_same_again() -> None:
    learned = toy(size=500).vocabulary.learned
    for size in (20, 70, 150):
        chosen = choose(COUNTS, learned, size)
        assert len(set(chosen)) == size
        ranks = {token: rank for rank, token in enumerate(chosen)}
        assert all(token in COUNTS or pair_of(token, ranks) for token in chosen)
        assert choose(Counter(COUNTS), sorted(learned), size) == chosen


def test_learned_strings_are_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    learned = set(toy(size=400).vocabulary.learned)
    kept = []
    for preference in (1.0, 5.0):
        monkeypatch.setattr(choosing, "PREFERENCE", preference)
        kept.append(len(learned & set(choose(COUNTS, learned, 40))))
    assert kept[0] < kept[1]


def test_too_little_text_and_no_pretokens_are_refused() -> None:
    with pytest.raises(GqvaeError, match=r"gives \d+ strings that BPE can reach, not 6000"):
        choose(COUNTS, (), 6000)
    with pytest.raises(GqvaeError, match="not pattern 'none'"):
        portable_bpe(toy("none"), COUNTS)
    with pytest.raises(GqvaeError, match=r"gives \d+ merges, not"):
        portable_bpe(toy(), Counter({b"abc": 1}), merges_only=True)


def test_special_names_are_never_chosen() -> None:
    assert {b" the", b" rain"} < set(portable_bpe(toy(size=300), COUNTS).vocabulary.learned)
    tokenizer = Tokenizer(Vocabulary((b"li", b"ed"), (" the", " rain")), [0.0] * 258, "gpt2", "specials")
    for merges_only in (False, True):
        assert not {b" the", b" rain"} & set(portable_bpe(tokenizer, COUNTS, merges_only).vocabulary.learned)
