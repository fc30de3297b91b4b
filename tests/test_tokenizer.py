"""The tokenizer: lossless, linear, and safe with special tokens."""

import copy
import json
import pickle
import time
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toys import TEXT, toy

from gqvae.awkward import AWKWARD_BYTES, AWKWARD_TEXT
from gqvae.errors import GqvaeError
from gqvae.files import digest
from gqvae.patterns import PATTERNS
from gqvae.tokenizer import Tokenizer
from gqvae.vocabulary import Vocabulary

END = "<|endoftext|>"
TOYS = {pattern: toy(pattern) for pattern in PATTERNS}
each_pattern = pytest.mark.parametrize("tokenizer", TOYS.values(), ids=list(TOYS))


# Lossless


@each_pattern
@given(st.text())
def test_text_round_trips(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text), errors="strict") == text
    assert tokenizer.encode(text) == tokenizer.encode(text.encode())


@each_pattern
@given(st.binary())
def test_bytes_round_trip(tokenizer: Tokenizer, data: bytes) -> None:
    assert tokenizer.decode_bytes(tokenizer.encode(data)) == data


@each_pattern
def test_awkward_input_round_trips(tokenizer: Tokenizer) -> None:
    for text in (*AWKWARD_TEXT, TEXT, END, END[:-1], END * 3):
        assert tokenizer.decode(tokenizer.encode(text), errors="strict") == text
    for data in AWKWARD_BYTES:
        assert tokenizer.decode_bytes(tokenizer.encode(data)) == data


@each_pattern
def test_every_token_round_trips(tokenizer: Tokenizer) -> None:
    for index, token in enumerate(tokenizer.vocabulary.tokens):
        assert tokenizer.decode_bytes([index]) == token
        assert tokenizer.decode_bytes(tokenizer.encode(token)) == token


def test_empty_input_has_no_ids() -> None:
    assert TOYS["gpt2"].encode("") == TOYS["gpt2"].encode(b"") == []
    assert TOYS["gpt2"].decode([]) == ""


def test_a_lone_surrogate_is_refused_though_its_escape_is_memoised() -> None:
    tokenizer = toy()
    assert tokenizer.decode_bytes(tokenizer.encode(b"a \xff\xff b")) == b"a \xff\xff b"
    for text in ("a \udcff\udcff b", "\ud800", "x\udfff"):
        with pytest.raises(GqvaeError, match="lone surrogate"):
            tokenizer.encode(text)


def test_other_types_are_refused() -> None:
    for value in (None, 3, ["a"]):
        with pytest.raises(GqvaeError, match="str and bytes"):
            toy().encode(value)  # type: ignore[arg-type]


# Linear time


@pytest.mark.parametrize("unit", ["a", " ", "\n", "\u0301", "\u200d", "👩\u200d", "a ", "\t ", "'s", "\x00", "天"])
@pytest.mark.parametrize("pattern", ["gpt2", "gpt4", "none"])
def test_long_repetition_is_quick_and_lossless(pattern: str, unit: str) -> None:
    text = unit * 100_000
    tokenizer = TOYS[pattern]
    begin = time.process_time()
    ids = tokenizer.encode(text)
    assert time.process_time() - begin < 10  # a quadratic scan of 100,000 would take minutes
    assert tokenizer.decode(ids) == text


# Special tokens

SPECIAL = toy(specials=(END, "<|pad|>", "<|pad|>x"))


def test_special_text_is_ordinary_unless_allowed() -> None:
    special = SPECIAL.special_ids[END]
    assert special not in SPECIAL.encode(f"a{END}b")
    assert SPECIAL.encode(END, allowed_special="all") == SPECIAL.encode(END, allowed_special={END}) == [special]
    ids = SPECIAL.encode(f"a{END}b", allowed_special="all")
    assert ids == [*SPECIAL.encode("a"), special, *SPECIAL.encode("b")]
    assert SPECIAL.encode(f"a{END}b".encode(), allowed_special="all") == ids
    assert SPECIAL.decode(ids) == f"a{END}b"


def test_arrays_hold_special_ids_where_allowed() -> None:
    text = f"a{END}b"
    (plain,), (special,) = SPECIAL.encode_to_arrays([text]), SPECIAL.encode_to_arrays([text], allowed_special="all")
    assert list(plain) == SPECIAL.encode(text) != list(special) == SPECIAL.encode(text, allowed_special="all")
    with pytest.raises(GqvaeError, match="holds the special token"):
        list(SPECIAL.encode_to_arrays([text], disallowed_special="all"))


def test_the_longest_special_token_wins() -> None:
    assert SPECIAL.encode("<|pad|>x", allowed_special="all") == [SPECIAL.special_ids["<|pad|>x"]]
    assert SPECIAL.encode("<|pad|>y", allowed_special="all")[0] == SPECIAL.special_ids["<|pad|>"]


def test_disallowed_special_tokens_are_errors() -> None:
    with pytest.raises(GqvaeError, match="endoftext"):
        SPECIAL.encode(f"a{END}", disallowed_special="all")
    with pytest.raises(GqvaeError, match="endoftext"):
        SPECIAL.encode(f"a{END}".encode(), disallowed_special=[END])
    assert SPECIAL.encode(END, allowed_special={END}, disallowed_special="all") == [SPECIAL.special_ids[END]]
    with pytest.raises(GqvaeError, match="endoftext"):  # what is refused by name is refused
        SPECIAL.encode(END, allowed_special={END}, disallowed_special={END})
    with pytest.raises(GqvaeError, match="a collection of names"):
        SPECIAL.encode("a", allowed_special=END)  # type: ignore[arg-type]
    assert SPECIAL.encode("plain", disallowed_special="all") == SPECIAL.encode("plain")


def test_unknown_special_names_are_errors() -> None:
    for names in ({"<|x|>"}, END):
        with pytest.raises(GqvaeError, match="special token"):
            SPECIAL.encode("a", allowed_special=names)


@given(st.text())
def test_ordinary_text_never_yields_a_special_id(text: str) -> None:
    assert max(SPECIAL.encode(text + END + text), default=0) < min(SPECIAL.special_ids.values())


# Batches, offsets, decoding


def test_batches_equal_single_calls_in_this_and_in_other_processes() -> None:
    texts: list[str | bytes] = [TEXT, "", b"\xff\x00", *TEXT.split(), "x" * 300_000, TEXT * 50]
    expected = [SPECIAL.encode(text) for text in texts]
    assert SPECIAL.encode_batch(texts) == expected
    assert SPECIAL.encode_batch(texts, workers=2) == expected
    assert SPECIAL.encode_batch([END], workers=2, allowed_special="all") == [[SPECIAL.special_ids[END]]]
    with pytest.raises(GqvaeError, match="endoftext"):
        SPECIAL.encode_batch([TEXT, END], workers=2, disallowed_special="all")


@given(st.text())
def test_offsets_cover_the_text_in_order(text: str) -> None:
    data = text.encode()
    spans = SPECIAL.encode_with_offsets(data)
    assert [index for index, _, _ in spans] == SPECIAL.encode(text)
    assert [data[start:end] for _, start, end in spans] == SPECIAL.split(text)
    assert [0, *(end for _, _, end in spans)][:-1] == [start for _, start, _ in spans]
    for (index, start, end), token in zip(SPECIAL.encode_with_offsets(text), SPECIAL.split(text), strict=True):
        assert token == SPECIAL.decode_bytes([index])
        assert token in text[start:end].encode()
        assert token not in (text[start + 1 : end].encode(), text[start : end - 1].encode())


def test_offsets_follow_the_rules_for_special_tokens() -> None:
    special = SPECIAL.special_ids[END]
    assert SPECIAL.encode_with_offsets(f"é{END}", allowed_special={END})[-1] == (special, 1, 1 + len(END))
    with pytest.raises(GqvaeError, match="holds the special token"):
        SPECIAL.encode_with_offsets(END, disallowed_special="all")


def test_offsets_of_text_are_those_of_hugging_face() -> None:
    pytest.importorskip("tokenizers")
    from gqvae.export import build_huggingface

    theirs = build_huggingface(SPECIAL)
    for text in ("é é", "naïve 世界 the", TEXT):
        found = theirs.encode(text)
        assert SPECIAL.encode_with_offsets(text) == [
            (index, start, end) for index, (start, end) in zip(found.ids, found.offsets, strict=True)
        ]


def test_one_text_is_not_taken_for_a_list_of_its_characters() -> None:
    for one in ("hello", b"hello"):
        with pytest.raises(GqvaeError, match="this is one"):
            SPECIAL.encode_batch(one)  # type: ignore[arg-type]
        with pytest.raises(GqvaeError, match="this is one"):
            SPECIAL.encode_to_arrays(one)  # type: ignore[arg-type]


def test_a_copy_is_of_the_same_file(tmp_path: Path) -> None:
    path = toy().save(tmp_path)
    content = json.loads(path.read_text())
    content["self_test"] = content["self_test"][:1]  # as another version would have it
    del content["sha256"]
    path.write_text(json.dumps(content | {"sha256": digest(content)}))
    loaded = Tokenizer.load(tmp_path)
    assert loaded.sha256 != toy().sha256
    for same in (pickle.loads(pickle.dumps(loaded)), copy.deepcopy(loaded)):  # noqa: S301
        assert same.sha256 == loaded.sha256
        assert same.encode(TEXT) == loaded.encode(TEXT)


def test_ids_of_tensors_and_arrays_decode() -> None:
    torch = pytest.importorskip("torch")
    ids = SPECIAL.encode(TEXT)
    for kind in (torch.tensor, numpy.array, tuple, iter):
        assert SPECIAL.decode(kind(ids)) == TEXT


def test_decode_refuses_unknown_ids() -> None:
    for ids in ([SPECIAL.vocab_size], [-1], ["a"], [None]):
        with pytest.raises(GqvaeError, match=r"is no id of this tokenizer"):
            SPECIAL.decode(ids)  # type: ignore[arg-type]
    for several in ([[1]], 1, numpy.array(1), numpy.array([[1], [2]])):
        with pytest.raises(GqvaeError, match="give one list of them"):
            SPECIAL.decode(several)  # type: ignore[arg-type]


def test_decode_of_half_a_character() -> None:
    assert SPECIAL.decode([0xE4]) == "\ufffd"
    assert SPECIAL.decode_batch([[0xE4], [97]], errors="ignore") == ["", "a"]
    with pytest.raises(GqvaeError, match="UTF-8"):
        SPECIAL.decode([0xE4], errors="strict")


# Construction


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pattern": "gpt3"}, "gpt2, gpt4"),
        ({"scores": [0.0] * 256}, "256 scores for 257"),
        ({"scores": [0.0] * 256 + [float("nan")]}, "token 256 is nan"),
        ({"scores": [0.0] * 256 + [-2e6]}, "at most 1e"),
        ({"name": "../x"}, "bad tokenizer name"),
        ({"name": ".x"}, "bad tokenizer name"),
        ({"name": "a\nb"}, "bad tokenizer name"),
        ({"name": ""}, "bad tokenizer name"),
        ({"provenance": {"x": float("inf")}}, "provenance"),
        ({"provenance": {"x": object()}}, "provenance"),
        ({"provenance": ["x"]}, "provenance"),
    ],
)
def test_bad_parts_are_refused(change: dict[str, Any], message: str) -> None:
    parts = {"vocabulary": Vocabulary((b"ab",)), "scores": [0.0] * 257, "pattern": "gpt2", "name": "x"}
    with pytest.raises(GqvaeError, match=message):
        Tokenizer(**(parts | change))


def test_scores_are_kept_to_six_decimals() -> None:
    tokenizer = Tokenizer(Vocabulary((b"ab",)), [-0.0] * 256 + [-1.23456789], "gpt2", "x")
    assert tokenizer.scores[256] == -1.234568
    assert str(tokenizer.scores[0]) == "0.0"
