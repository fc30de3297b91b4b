"""The intrinsic measures, against slower and plainer code."""

import json
import math
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toys import TEXT, toy

from gqvae.errors import GqvaeError
from gqvae.evaluation.intrinsic import measure, read_parallel, relative_speed, renyi_entropy, shannon_entropy
from gqvae.evaluation.peers import train_peer

TOY = toy()
DOCUMENTS = [TEXT, TEXT[:50], "the girl, the rain the the"]


def words_cut(documents: list[str]) -> list[tuple[str, tuple[int, ...]]]:
    """Every word, and the bytes of it at which a token ends inside, found byte by byte."""
    found = []
    for document in documents:
        data, ends, place = document.encode(), set(), 0
        for id_ in TOY.encode(document):
            place += len(TOY.decode_bytes([id_]))
            ends.add(place)
        start = 0
        for part in re.split(rb"(\s)", data):
            if part.strip():
                found.append((part.decode(), tuple(n for n in range(1, len(part)) if start + n in ends)))
            start += len(part)
    return found


@given(st.lists(st.text(st.sampled_from("thers \n天👍"), max_size=30), min_size=1, max_size=4))
def test_words_are_measured_as_byte_by_byte(documents: list[str]) -> None:
    documents = [*documents, "the"]
    found, words = measure(TOY, documents, [TEXT]), words_cut(documents)
    tokens = sum(len(TOY.encode(document)) for document in documents)
    assert found["tokens_per_word"] == pytest.approx(tokens / len(words))
    assert found["whole_words"] == pytest.approx(sum(not cuts for _, cuts in words) / len(words))
    ways: dict[str, list[tuple[int, ...]]] = {}
    for word, cuts in words:
        ways.setdefault(word, []).append(cuts)
    repeated = [each for each in ways.values() if len(each) > 1]
    alike = sum(Counter(each).most_common(1)[0][1] for each in repeated)
    wanted = alike / sum(map(len, repeated)) if repeated else None
    assert found["split_consistency"] == (wanted if wanted is None else pytest.approx(wanted))


def test_frequencies_and_their_entropies() -> None:
    found = measure(TOY, DOCUMENTS, DOCUMENTS)
    counts = Counter(id_ for document in DOCUMENTS for id_ in TOY.encode(document))
    shares = [count / counts.total() for count in counts.values()]
    assert found["frequencies"] == sorted(counts.values(), reverse=True)
    assert found["entropy_bits"] == pytest.approx(-sum(share * math.log2(share) for share in shares))
    renyi = math.log(sum(share**2.5 for share in shares)) / (1 - 2.5)
    assert found["renyi_efficiency"] == pytest.approx(renyi / math.log(TOY.vocab_size))


@given(st.lists(st.integers(1, 50), min_size=1))
def test_entropies_are_ordered(counts: list[int]) -> None:
    assert renyi_entropy(counts, 2.5) <= shannon_entropy(counts) + 1e-9 <= math.log(len(counts)) + 2e-9


def test_dead_ids_are_those_the_training_text_does_not_have() -> None:
    found = measure(TOY, ["the"], [TEXT])
    used = set(TOY.encode(TEXT))
    whole = [id_ for id_, token in enumerate(TOY.vocabulary.plain_tokens) if len(token) > 1 and _is_text(token)]
    dead = [id_ for id_ in whole if id_ not in used]
    assert found["dead_ids"] == len(dead) > 0
    assert found["unreachable_ids"] == sum(id_ not in TOY.encode(TOY.decode_bytes([id_])) for id_ in dead)
    assert measure(TOY, ["the"], [TEXT, *(TOY.decode([id_]) for id_ in dead)])["dead_ids"] <= len(dead)


def _is_text(token: bytes) -> bool:
    try:
        token.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_without_words_there_is_nothing_to_say_of_them() -> None:
    found = measure(TOY, [" \n "], [TEXT])
    assert (found["tokens_per_word"], found["whole_words"], found["split_consistency"]) == (None, None, None)


def test_a_tokenizer_that_loses_text_is_not_measured_on_words() -> None:
    class Shouting:
        name, vocab_size = "shouting", 256

        def encode(self, text: str) -> list[int]:
            return list(text.upper().encode())

        def decode_bytes(self, ids: list[int]) -> bytes:
            return bytes(ids)

    found = measure(Shouting(), ["some text"], [TEXT])
    assert found["lossless"] is False
    assert found["whole_words"] is None


def test_words_within_longer_tokens_are_whole() -> None:
    peer = train_peer("sentence-bpe:300", ["once upon a time"] * 50)
    found = measure(peer, ["once upon a time"], ["once upon a time"])
    assert found["tokens"] == 1
    assert found["whole_words"] == 1.0


def test_languages_are_measured_on_their_own_text() -> None:
    texts = {"en": "the girl", "zh": "天气很好"}
    found = measure(TOY, DOCUMENTS, [TEXT], texts)
    tokens = {language: len(TOY.encode(text)) for language, text in texts.items()}
    assert found["tokens_per_language"] == tokens
    assert found["parity"] == max(tokens.values()) / min(tokens.values())


def test_speed_is_relative() -> None:
    class Slow:
        name, vocab_size, decode_bytes = "slow", TOY.vocab_size, TOY.decode_bytes

        def encode(self, text: str) -> list[int]:
            for _ in range(19):
                TOY.encode(text)
            return TOY.encode(text)

    assert relative_speed(Slow(), TOY, [TEXT] * 30) < 0.5 < 2 < relative_speed(TOY, Slow(), [TEXT] * 30)


def test_parallel_text_is_read(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    rows = [{"language": "de", "text": "Hallo"}, {"language": "ja", "text": "やあ\u2028"}]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    assert read_parallel(path) == {"de": "Hallo", "ja": "やあ\u2028"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"language": "de"}', ":1: not a line"),
        ('{"language": "de", "text": "a"}\n{"language": "de", "text": "b"}', ":2: needs a language that is new"),
        ('{"language": "de", "text": ""}', ":1: needs"),
        ("[]", ":1: not a line"),
        ("no", ":1: not a line"),
        ("", ":1: not a line"),
    ],
)
def test_bad_parallel_text_is_told(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(GqvaeError, match=message):
        read_parallel(path)
