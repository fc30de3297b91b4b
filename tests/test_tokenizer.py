"""The tokenizer: lossless, optimal, linear, safe with special tokens, and the same after a reload."""

import itertools
import json
import pickle
import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import TEXT, toy

import gqvae
from gqvae import artifact, automaton, lockstep, memo, segmentation
from gqvae.automaton import Automaton
from gqvae.awkward import AWKWARD_BYTES, AWKWARD_TEXT
from gqvae.errors import GqvaeError
from gqvae.patterns import PATTERNS, split
from gqvae.segmentation import Segmenter
from gqvae.tokenizer import Tokenizer, character_offsets, load
from gqvae.viterbi import best_ids, best_lengths, build_trie
from gqvae.vocabulary import Vocabulary

END = "<|endoftext|>"
TOYS = {pattern: toy(pattern) for pattern in PATTERNS}
SPACES = st.text(alphabet="ab1'.\u0301 \t\n\r\x0b\x1c\x1f\x85\u00a0\u2028\u3000", max_size=30)
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


# The best segmentation


def slow_twin(data: bytes, scores: dict[bytes, float]) -> tuple[float, list[bytes]]:
    """The recurrence of `gqvae.viterbi` as it reads: the best last token, the longest on a tie."""
    table: list[tuple[float, list[bytes]]] = [(0.0, [])]
    for end in range(1, len(data) + 1):
        options = [
            (table[start][0] + scores[data[start:end]], start) for start in range(end) if data[start:end] in scores
        ]
        total, start = max(options, key=lambda option: (option[0], -option[1]))
        table.append((total, [*table[start][1], data[start:end]]))
    return table[-1]


def all_segmentations(data: bytes, scores: dict[bytes, float]) -> list[list[bytes]]:
    found = []
    for inner in itertools.product((False, True), repeat=max(len(data) - 1, 0)):
        cuts = [0, *(index + 1 for index, cut in enumerate(inner) if cut), len(data)]
        parts = [data[a:b] for a, b in itertools.pairwise(cuts)]
        if all(part in scores for part in parts):
            found.append(parts)
    return found


small_tokens = st.dictionaries(
    st.text("ab", min_size=2, max_size=5).map(str.encode),
    st.sampled_from([-0.1, -0.2, -0.3, -1.0, -2.5]),
    max_size=12,
)
small_text = st.text("abc", min_size=1, max_size=12)


def test_on_a_tie_the_longest_last_token_wins() -> None:
    """The string "aab" has the same score as a|ab and as aa|b."""
    tokenizer = Tokenizer(Vocabulary((b"aa", b"ab"), ()), [-1.0] * 256 + [-1.0, -1.0], "none", "tie")
    assert tokenizer.split("aab") == [b"a", b"ab"]


@given(small_tokens, small_text)
def test_segmentation_equals_the_slow_twin(tokens: dict[bytes, float], text: str) -> None:
    scores = {bytes([byte]): -1.0 for byte in range(256)} | tokens
    tokenizer = Tokenizer(Vocabulary(tuple(tokens)), list(scores.values()), "none", "twin")
    assert tokenizer.split(text) == slow_twin(text.encode(), scores)[1]


@given(small_tokens, small_text)
def test_segmentation_is_the_best_of_all(tokens: dict[bytes, float], text: str) -> None:
    scores = {bytes([byte]): -4.0 for byte in range(256)} | {token: 10 * score for token, score in tokens.items()}
    tokenizer = Tokenizer(Vocabulary(tuple(tokens)), list(scores.values()), "none", "all")
    best = max(sum(scores[part] for part in parts) for parts in all_segmentations(text.encode(), scores))
    assert sum(scores[part] for part in tokenizer.split(text)) == best


def test_blocks_do_not_change_the_segmentation(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = TOYS["none"]
    data = TEXT.encode() * 3
    trie = build_trie(tokenizer.vocabulary.plain_tokens, tokenizer.scores)
    whole = best_lengths(data, trie, 8)
    for block in (1, 2, 7, 8, 9, 100, len(data)):
        monkeypatch.setattr("gqvae.viterbi._BLOCK", block)
        assert best_lengths(data, trie, 8) == whole


@given(small_tokens, st.lists(st.text("abc", min_size=1, max_size=40).map(str.encode), max_size=20), st.integers(1, 50))
def test_the_automaton_equals_the_viterbi_twin(tokens: dict[bytes, float], pieces: list[bytes], block: int) -> None:
    """One by one, in blocks and in lockstep: the same ids, on ties too."""
    scores = {bytes([byte]): -1.0 for byte in range(256)} | tokens
    trie, id_of = build_trie(list(scores), list(scores.values())), {token: id_ for id_, token in enumerate(scores)}
    expected = [best_ids(piece, trie, 5, id_of) for piece in pieces]
    one_by_one, segmenter = (kind(list(scores), list(scores.values())) for kind in (Automaton, Segmenter))
    assert list(map(one_by_one.ids, pieces)) == expected
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(automaton, "_BLOCK", block)
        assert list(map(one_by_one.ids, pieces)) == expected
        for fewest in (1, 3):
            patched.setattr(segmentation, "_FEWEST", fewest)
            patched.setattr(lockstep, "_GROUP", 4)
            assert segmenter.segment(pieces) == expected


@pytest.mark.parametrize("name", ["multilingual-8192", "wikipedia-8192-superword"])
def test_both_ways_of_a_bundled_tokenizer_equal_the_viterbi_twin(name: str) -> None:
    vocabulary, scores = load(name).vocabulary, load(name).scores
    trie, longest = build_trie(vocabulary.plain_tokens, scores), max(map(len, vocabulary.plain_tokens))
    pieces = [
        *split(TEXT * 2, "gpt2"),
        *split(TEXT, "sentence"),
        *(text.encode() for text in AWKWARD_TEXT),
        *AWKWARD_BYTES,
    ]
    pieces = [*pieces, *vocabulary.plain_tokens[::7]]
    expected = [best_ids(piece, trie, longest, vocabulary.id_of) for piece in pieces]
    assert list(map(Automaton(vocabulary.plain_tokens, scores).ids, pieces)) == expected
    assert Segmenter(vocabulary.plain_tokens, scores).segment(pieces) == expected


def test_without_numpy_the_ids_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    words = " ".join(f"{number}th" for number in range(5_000))
    expected = toy().encode(words)
    monkeypatch.setattr(segmentation, "find_spec", lambda _: None)
    without = toy()
    assert without.encode(words) == expected
    assert without._segmenter._lockstep is None


def test_what_an_automaton_remembers_is_bounded_by_the_vocabulary() -> None:
    small = Automaton(TOYS["none"].vocabulary.plain_tokens, TOYS["none"].scores)
    small.ids(random.Random(0).randbytes(200_000))
    assert max(len(state) for state in small.states[1:]) == automaton._REMEMBERED


# Pretokens and memos


@each_pattern
@given(st.one_of(SPACES, st.text()))
@settings(max_examples=300)
def test_cutting_at_words_gives_the_pattern_s_pretokens(tokenizer: Tokenizer, text: str) -> None:
    pieces = [piece.decode() for piece in split(text, tokenizer.pattern)]
    expected = [index for ids in tokenizer._segment(pieces) for index in ids]
    assert tokenizer.encode(text) == expected


@each_pattern
def test_blocks_of_text_change_nothing(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    text = TEXT * 3 + "".join(AWKWARD_TEXT)
    expected = tokenizer.encode(text)
    for block in (1, 10, 100, 1000):
        monkeypatch.setattr("gqvae.tokenizer._BLOCK", block)
        assert tokenizer.encode(text) == expected


def test_small_memos_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = toy().encode(TEXT)
    monkeypatch.setattr(memo, "MEMO_ENTRIES", 3)
    monkeypatch.setattr(memo, "MEMO_KEY", 4)
    tokenizer = toy()
    assert tokenizer.encode(TEXT) == expected
    assert len(tokenizer._word_ids) <= 3
    assert max(map(len, tokenizer._pretoken_ids)) <= 4


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


def test_the_longest_special_token_wins() -> None:
    assert SPECIAL.encode("<|pad|>x", allowed_special="all") == [SPECIAL.special_ids["<|pad|>x"]]
    assert SPECIAL.encode("<|pad|>y", allowed_special="all")[0] == SPECIAL.special_ids["<|pad|>"]


def test_disallowed_special_tokens_are_errors() -> None:
    with pytest.raises(GqvaeError, match="endoftext"):
        SPECIAL.encode(f"a{END}", disallowed_special="all")
    with pytest.raises(GqvaeError, match="endoftext"):
        SPECIAL.encode(f"a{END}".encode(), disallowed_special=[END])
    assert SPECIAL.encode(END, allowed_special={END}, disallowed_special="all") == [SPECIAL.special_ids[END]]
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
def test_offsets_cover_the_bytes_in_order(text: str) -> None:
    data = text.encode()
    spans = SPECIAL.encode_with_offsets(text)
    assert [index for index, _, _ in spans] == SPECIAL.encode(text)
    assert [data[start:end] for _, start, end in spans] == SPECIAL.split(text)
    assert [0, *(end for _, _, end in spans)][:-1] == [start for _, start, _ in spans]


def test_character_offsets_widen_to_whole_characters() -> None:
    assert character_offsets("aé世b", [(0, 1), (1, 2), (2, 3), (3, 6), (4, 7)]) == [
        (0, 1),
        (1, 2),
        (1, 2),
        (2, 3),
        (2, 4),
    ]


def test_decode_refuses_unknown_ids() -> None:
    for ids in ([SPECIAL.vocab_size], [-1], ["a"], [[1]], [None]):
        with pytest.raises(GqvaeError, match=r"is no id of toy"):
            SPECIAL.decode(ids)  # type: ignore[arg-type]


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


# Files


def test_reload_gives_the_same_tokenizer_and_the_same_bytes(tmp_path: Path) -> None:
    for tokenizer in (*TOYS.values(), SPECIAL):
        path = tokenizer.save(tmp_path / "a")
        copy = Tokenizer.load(tmp_path / "a")
        assert copy.vocabulary == tokenizer.vocabulary
        assert (copy.scores, copy.pattern, copy.name) == (tokenizer.scores, tokenizer.pattern, tokenizer.name)
        assert copy.provenance == tokenizer.provenance
        assert copy.encode(TEXT) == tokenizer.encode(TEXT)
        assert copy.save(tmp_path / "b").read_bytes() == path.read_bytes()
        assert load(path).encode(TEXT) == gqvae.load(tmp_path / "a").encode(TEXT)
        assert [entry.name for entry in (tmp_path / "a").iterdir()] == ["gqvae.json"]


def test_golden_ids() -> None:
    """Ids are for ever: this fails if the pattern, the order of ids or the segmentation changes."""
    ids = toy().encode("Once upon a time, the girl said: 天气\x00")
    assert ids == [528, 455, 384, 454, 44, 274, 448, 452, 58, 358, 0]


def test_pickle_keeps_ids() -> None:
    assert pickle.loads(pickle.dumps(SPECIAL)).encode(TEXT) == SPECIAL.encode(TEXT)  # noqa: S301


@given(st.lists(st.binary(min_size=2, max_size=6), unique=True, max_size=8), st.floats(-100, 100))
def test_any_token_survives_the_file(tokens: list[bytes], score: float) -> None:
    document = artifact._layout({"learned": [[artifact._to_json(token), score] for token in tokens]})
    pairs = json.loads(document)["learned"]
    assert [artifact._from_json(token, "learned") for token, _ in pairs] == tokens
    assert all(back == score for _, back in pairs)


def test_the_file_survives_reindenting(tmp_path: Path) -> None:
    path = SPECIAL.save(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()), indent=1, sort_keys=True))
    assert Tokenizer.load(tmp_path).encode(TEXT) == SPECIAL.encode(TEXT)


def rewrite(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Apply `change` to the document and give it a right hash, as an attacker would."""
    document = json.loads(path.read_text())
    change(document)
    document["sha256"] = artifact._digest(document)
    path.write_text(json.dumps(document))


def put(*keys: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: Any) -> None:
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("format", value="x"), "not a gqvae tokenizer"),
        (put("version", value=2), "version 2"),
        (put("extra", value=1), "unknown: extra"),
        (lambda document: document.pop("learned"), "learned"),
        (put("name", value="../../etc/passwd"), "name"),
        (put("name", value=7), "name"),
        (put("pattern", "name", value="evil"), "pattern 'evil' is unknown"),
        (put("pattern", "name", value=["gpt2"]), "unknown"),
        (put("pattern", "regex", value="(a+)+b"), "another regex"),
        (put("pattern", value="gpt2"), "pattern must"),
        (put("specials", value="<s>"), "specials must be a list"),
        (put("specials", value=[["<s>"]]), "not a str"),
        (put("byte_scores", value=[0] * 255), "scores for"),
        (put("byte_scores", value=[0] * 257), "at most 256"),
        (put("byte_scores", 0, value="0"), "score must be a number"),
        (put("byte_scores", 0, value=True), "score must be a number"),
        (put("byte_scores", 0, value=10**400), "out of range"),
        (put("learned", value={}), "learned must be a list"),
        (put("learned", 0, value=["ab"]), "pairs"),
        (put("learned", 0, value=[7, 0.0]), "neither text nor base64"),
        (put("learned", 0, value=["", 0.0]), "0 bytes"),
        (put("learned", 0, value=["\ud800x", 0.0]), "neither text nor base64"),
        (put("learned", 0, value=["x" * 10_000, 0.0]), "10000 bytes"),
        (put("learned", 0, value=[{"base64": "YWI="}, 0.0]), "neither text nor base64"),
        (put("learned", 0, value=[{"base64": "/w"}, 0.0]), "neither text nor base64"),
        (put("learned", 0, value=[{"base64": 5}, 0.0]), "neither text nor base64"),
        (lambda document: document["learned"].append(document["learned"][0]), "are the same"),
        (put("provenance", value=[]), "provenance"),
        (put("self_test", value=[]), "self_test is empty"),
        (put("self_test", value=[["a", [0]]]), "self-test failed"),
        (put("self_test", value=[["a", ["97"]]]), "lists of ids"),
        (put("self_test", value=[["a", [97]]] * 1001), "at most 1000"),
    ],
)
def test_hostile_files_are_refused(tmp_path: Path, change: Callable[[Any], Any], message: str) -> None:
    path = SPECIAL.save(tmp_path)
    rewrite(path, change)
    with pytest.raises(GqvaeError, match=message) as caught:
        Tokenizer.load(tmp_path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '"x"',
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"a": NaN}',
        '{"a": 1, "a": 2}',
        "1" * 5000,
    ],
)
def test_files_that_are_not_tokenizers_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "gqvae.json"
    path.write_text(text)
    with pytest.raises(GqvaeError, match=re.escape(str(path))):
        Tokenizer.load(tmp_path)


def test_every_damaged_byte_is_noticed(tmp_path: Path) -> None:
    path = toy(size=270).save(tmp_path)
    good = path.read_bytes()
    content = json.loads(good)
    for position in range(0, len(good), 67):
        for damaged in (
            good[:position],
            good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :],
        ):
            path.write_bytes(damaged)
            try:
                Tokenizer.load(tmp_path)
            except GqvaeError:
                continue
            assert json.loads(damaged) == content  # only white space changed


def test_file_size_and_kind_are_checked_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SPECIAL.save(tmp_path)
    monkeypatch.setattr("gqvae.files.MAX_FILE_BYTES", 1000)
    with pytest.raises(GqvaeError, match="larger than"):
        Tokenizer.load(tmp_path)
    with pytest.raises(GqvaeError, match="not a file"):
        Tokenizer.load("/dev/zero")


def test_missing_tokenizers_name_the_bundled_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gqvae.tokenizer._BUNDLED", tmp_path)
    with pytest.raises(GqvaeError, match="bundled: none"):
        load("nowhere")
    SPECIAL.save(tmp_path / "stories")
    assert load("stories").name == "toy"
    with pytest.raises(GqvaeError, match="bundled: stories"):
        load("nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(GqvaeError, match=r"gqvae\.json"):
        load(tmp_path / "empty")


def test_saving_into_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(GqvaeError, match="taken"):
        SPECIAL.save(tmp_path / "taken")
