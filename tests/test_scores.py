"""Static scores: a plain search with them gives what the network gives, as far as scores can."""

import random

from gqvae.learn.run import Run
from gqvae.learn.scores import fit_scores, static_ids
from gqvae.tokenizer import Tokenizer
from gqvae.vocabulary import Vocabulary


def test_scores_reproduce_a_segmentation_that_scores_can_express() -> None:
    vocabulary = Vocabulary((b"ab", b"bc", b"abc"))
    texts, counts, id_of = [b"abc", b"ab", b"bc"], [5, 3.5, 2], vocabulary.id_of
    whole = [(id_of[b"abc"],), (id_of[b"ab"],), (id_of[b"bc"],)]
    assert static_ids(vocabulary, fit_scores(vocabulary, texts, counts, whole), texts) == whole
    left, right = (id_of[b"ab"], ord("c")), (ord("a"), id_of[b"bc"])
    vocabulary = Vocabulary((b"ab", b"bc"))
    for first in (left, right):
        wanted = [first, (id_of[b"ab"],)]
        assert static_ids(vocabulary, fit_scores(vocabulary, texts[:2], counts[:2], wanted), texts[:2]) == wanted


def test_scores_that_no_count_gives_are_found() -> None:
    """Segmentations by random scores: of those that the use of each string suggests, a tenth of the texts differ."""
    draw = random.Random(5)
    strings = {bytes(draw.choices(b"abc", k=draw.randint(2, 4))) for _ in range(14)}
    texts = sorted({bytes(draw.choices(b"abc", k=draw.randint(3, 7))) for _ in range(80)})
    vocabulary = Vocabulary(tuple(sorted(strings)))
    hidden = [-9.0] * 256 + [draw.uniform(-7.5, -4.5) for _ in strings]
    wanted = static_ids(vocabulary, hidden, texts)
    scores = fit_scores(vocabulary, texts, [1.0] * len(texts), wanted, spare=1.0)
    assert static_ids(vocabulary, scores, texts) == wanted


def test_what_occurs_more_often_decides_between_scores() -> None:
    vocabulary = Vocabulary((b"ab", b"bc"))
    left, right = (256, ord("c")), (ord("a"), 257)
    for counts, best in (((1.0, 2.0), right), ((2.0, 1.0), left)):
        scores = fit_scores(vocabulary, [b"abc", b"abc"], counts, [left, right])
        assert static_ids(vocabulary, scores, [b"abc"]) == [best]


def test_agreement_is_not_bought_with_tokens() -> None:
    vocabulary = Vocabulary((b"cd", b"abc"))
    network = (*b"ab", 256)
    for spare, best in ((0.0, (257, *b"d")), (1.0, network)):
        scores = fit_scores(vocabulary, [b"abcd"], [10_000], [network], spare=spare)
        assert static_ids(vocabulary, scores, [b"abcd"]) == [best]


def test_no_string_loses_to_those_that_spell_it() -> None:
    """Though the network never used them: an id that cannot occur is a lost one."""
    vocabulary = Vocabulary((b"ab", b"abab", b"ababab"))
    scores = fit_scores(vocabulary, [b"abab"], [10_000], [(256, 256)], spare=1.0)
    assert static_ids(vocabulary, scores, vocabulary.plain_tokens) == [(id_,) for id_ in range(259)]


def test_static_ids_are_those_of_the_tokenizer(tokenizer: Tokenizer, trained: Run) -> None:
    pieces = [piece for piece in trained.table.texts if piece.isascii()]
    found = static_ids(tokenizer.vocabulary, tokenizer.scores, pieces)
    assert [list(ids) for ids in found] == [tokenizer.encode(piece) for piece in pieces]
