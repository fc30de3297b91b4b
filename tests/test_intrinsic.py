"""The intrinsic measures, against slower and plainer code."""

import math
from collections import Counter
from collections.abc import Sequence
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from measured import DOCUMENTS, TOKENIZERS, TOY, Bytes
from toys import TEXT

from gqvae.errors import GqvaeError
from gqvae.evaluation.intrinsic import measure, renyi_entropy, shannon_entropy
from gqvae.evaluation.metrics import TokenizerLike, evaluate
from gqvae.evaluation.peers import train_peer
from gqvae.tokenizer import Tokenizer
from gqvae.vocabulary import Vocabulary


def words_cut(tokenizer: TokenizerLike, documents: list[str]) -> list[tuple[str, tuple[int, ...]]]:
    """Every word, and the bytes of it at which a token ends inside, found character by character."""
    found = []
    for document in documents:
        ids = tokenizer.encode(document)
        ends = {len(b"".join(tokenizer.decode_bytes([id_]) for id_ in ids[:n])) for n in range(len(ids) + 1)}
        word = ""
        for place, character in enumerate(document + " "):
            if not character.isspace():
                word += character
            elif word:
                start, size = len(document[: place - len(word)].encode()), len(word.encode())
                found.append((word, tuple(cut for cut in range(1, size) if start + cut in ends)))
                word = ""
    return found


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=lambda tokenizer: tokenizer.name)
@given(st.lists(st.text(st.sampled_from("thers \n天👍\u3000\xa0\x1f"), max_size=30), min_size=1, max_size=4))
def test_words_are_measured_as_character_by_character(tokenizer: TokenizerLike, documents: list[str]) -> None:
    documents = [*documents, "the"]
    found, words = measure(tokenizer, documents, [TEXT]), words_cut(tokenizer, documents)
    assert [word for word, _ in words] == [word for document in documents for word in document.split()]
    tokens = sum(len(tokenizer.encode(document)) for document in documents)
    assert found["tokens_per_word"] == pytest.approx(tokens / len(words))
    assert found["whole_words"] == pytest.approx(sum(not cuts for _, cuts in words) / len(words))
    ways: dict[str, list[tuple[int, ...]]] = {}
    for word, cuts in words:
        ways.setdefault(word, []).append(cuts)
    repeated = [each for each in ways.values() if len(each) > 1]
    alike = sum(Counter(each).most_common(1)[0][1] for each in repeated)
    wanted = alike / sum(map(len, repeated)) if repeated else None
    assert found["split_consistency"] == (wanted if wanted is None else pytest.approx(wanted))


def test_only_ends_of_tokens_inside_a_word_count() -> None:
    """ " the" and "the" are cut alike, in a token with its neighbours too; "cat" is cut in two ways."""
    learned = (b"the", b" the", b"the the ", b"ca", b" ca", b"at", b" c")
    scores = [-9.0] * 256 + [-1.0, -1.0, -1.0, -1.0, -5.0, -1.0, -1.0]
    scores[ord("t")] = -1.0
    tokenizer = Tokenizer(Vocabulary(learned), scores, "none", "example")
    assert tokenizer.split("the the cat cat") == [b"the the ", b"ca", b"t", b" c", b"at"]
    found = measure(tokenizer, ["the the cat cat", "a the"], [])
    assert found["tokens_per_word"] == 7 / 6
    assert found["whole_words"] == 4 / 6
    assert found["split_consistency"] == 4 / 5  # "a" comes once


def test_the_row_is_that_of_any_evaluation_and_text_is_encoded_once() -> None:
    encoded: list[str] = []

    class Watched(Bytes):
        note = "watched"

        def encode(self, text: str) -> list[int]:
            encoded.append(text)
            return super().encode(text)

    found = measure(Watched(), iter(DOCUMENTS), iter(["abc", bytes(range(128)).decode()]))
    assert encoded == [*DOCUMENTS, "abc", bytes(range(128)).decode()]
    row = evaluate(Watched(), DOCUMENTS)
    assert {key: found[key] for key in row} == row  # type: ignore[literal-required]


def test_frequencies_and_their_entropies() -> None:
    found = measure(TOY, DOCUMENTS, DOCUMENTS)
    counts = Counter(id_ for document in DOCUMENTS for id_ in TOY.encode(document))
    shares = [count / counts.total() for count in counts.values()]
    assert found["frequencies"] == sorted(counts.values(), reverse=True)
    assert found["entropy_bits"] == pytest.approx(-sum(share * math.log2(share) for share in shares))
    renyi = math.log(sum(share**2.5 for share in shares)) / (1 - 2.5)
    assert found["renyi_efficiency"] == pytest.approx(renyi / math.log(TOY.vocab_size))


def test_entropies_are_those_of_the_authors_of_renyi_efficiency() -> None:
    """What the tests of zouharvi/tokenization-scorer expect of two lists of tokens, here as counts."""
    first, second = [3, 2, 1, 1], [3, 3, 2, 2, 1]
    assert renyi_entropy(first, 2.5) / math.log(2) == pytest.approx(1.653012966845049)
    assert renyi_entropy(second, 2.5) / math.log(2) == pytest.approx(2.1372977167241545)
    assert shannon_entropy(first) / math.log(2) == pytest.approx(1.8423709931771088)
    assert shannon_entropy(second) / math.log(2) == pytest.approx(2.2312702546075758)


@given(st.lists(st.integers(1, 50), min_size=1))
def test_entropies_are_ordered(counts: list[int]) -> None:
    assert renyi_entropy(counts, 2.5) <= shannon_entropy(counts) + 1e-9 <= math.log(len(counts)) + 2e-9


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=lambda tokenizer: tokenizer.name)
@given(st.text(st.sampled_from(TEXT), max_size=40), st.text(st.sampled_from(TEXT), max_size=40))
def test_dead_ids_are_those_the_training_text_does_not_have(tokenizer: TokenizerLike, held: str, train: str) -> None:
    found = measure(tokenizer, ["x", held], [train, ""])
    dead = unreachable = 0
    for id_ in range(tokenizer.vocab_size):
        spelled = tokenizer.decode_bytes([id_])
        if spelled in (b"<|endoftext|>", b"<unk>") or len(spelled) == 1 or id_ in tokenizer.encode(train):
            continue
        dead += 1
        alone = tokenizer.encode(spelled.decode(errors="replace"))
        if "\ufffd" not in spelled.decode(errors="replace") and id_ not in alone:
            unreachable += id_ not in tokenizer.encode("x") + tokenizer.encode(held)
    assert (found["dead_ids"], found["unreachable_ids"]) == (dead, unreachable)


def test_dead_ids_by_hand() -> None:
    """No path of the best score goes through "hell" and "<b>"; the first is read as a token, the other as special."""
    learned = (b"he", b"hell", b"llo", b"\xe5\xa4", b"<i>", b"<b>")
    scores = [-3.0] * 256 + [-1.0, -99.0, -1.0, -1.0, -1.0, -99.0]
    tokenizer = Tokenizer(Vocabulary(learned, ("<|endoftext|>", "[PAD]")), scores, "none", "example")
    found = measure(tokenizer, ["hello"], ["he"])
    assert found["dead_ids"] == 4  # hell, llo, a part of a character, <i>
    assert found["unreachable_ids"] == 1


def test_without_words_there_is_nothing_to_say_of_them() -> None:
    found = measure(TOY, [" \n\u3000 ", ""], [TEXT])
    assert (found["tokens_per_word"], found["whole_words"], found["split_consistency"]) == (None, None, None)
    assert "words" not in found["note"]


def test_without_tokens_there_is_nothing_to_say_of_them() -> None:
    class Silent(Bytes):
        vocab_size = 1

        def encode(self, text: str) -> list[int]:
            return []

    found = measure(Silent(), ["some text"], ["text"], {"en": "text"})
    assert (found["renyi_efficiency"], found["entropy_bits"], found["parity"]) == (None, None, None)
    assert (found["tokens_per_word"], found["frequencies"], found["lossless"]) == (0.0, [], False)


def test_one_id_has_no_entropy() -> None:
    class Constant(Bytes):
        vocab_size = 1

        def encode(self, text: str) -> list[int]:
            return [0] * len(text)

    found = measure(Constant(), ["some text"], [])
    assert (found["renyi_efficiency"], found["entropy_bits"]) == (None, 0.0)


def test_tokens_of_no_bytes_cut_nothing() -> None:
    class Marked(Bytes):
        """Begins every text with a mark after its first byte."""

        vocab_size = 257

        def encode(self, text: str) -> list[int]:
            first, *rest = super().encode(text)
            return [first, 256, *rest]

        def decode_bytes(self, ids: Sequence[int]) -> bytes:
            return bytes(id_ for id_ in ids if id_ < 256)

    found = measure(Marked(), ["ab ab"], ["a"])
    assert (found["split_consistency"], found["lossless"], found["tokens"]) == (1.0, True, 6)


def test_without_text_there_is_nothing_to_measure() -> None:
    with pytest.raises(GqvaeError, match="no text"):
        measure(TOY, ["", ""], [TEXT])


class Shouting(Bytes):
    """Loses text, and keeps its length."""

    def encode(self, text: str) -> list[int]:
        return list(text.upper().encode())


class Spaced(Bytes):
    """Decodes whole texts, but single tokens without the space before, as some Hugging Face decoders do."""

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        return bytes(ids) if len(ids) > 1 else bytes(ids).strip()


@pytest.mark.parametrize(("tokenizer", "lossless"), [(Shouting(), False), (Spaced(), True)])
def test_where_tokens_are_not_the_text_their_ends_are_unknown(tokenizer: TokenizerLike, lossless: bool) -> None:
    found = measure(tokenizer, ["some text some"], [TEXT])
    assert found["lossless"] is lossless
    assert (found["whole_words"], found["split_consistency"]) == (None, None)
    assert found["tokens_per_word"] == 14 / 3
    assert "words not measured" in found["note"]
    assert ("1 of 1 documents changed" in found["note"]) is not lossless


def test_words_within_longer_tokens_are_whole() -> None:
    peer = train_peer("sentence-bpe:300", ["once upon a time"] * 50)
    found = measure(peer, ["once upon a time"], ["once upon a time"])
    assert found["tokens"] == 1
    assert found["whole_words"] == 1.0


@pytest.mark.parametrize("text", ["the rain 天气很好 ", "天", " \u3000", "x"])
def test_a_long_document_takes_linear_time(text: str) -> None:
    def seconds(length: int) -> float:
        start = process_time()
        measure(Bytes(), [text * (length // len(text))], [])
        return process_time() - start

    seconds(100)
    assert min(seconds(80_000) for _ in range(2)) < 8**1.5 * min(seconds(10_000) for _ in range(3))
