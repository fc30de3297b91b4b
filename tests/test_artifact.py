"""The file of a tokenizer: the same after a reload, and nothing but a whole and harmless one is read."""

import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toys import TEXT, toy

import gqvae
from gqvae import artifact
from gqvae.errors import GqvaeError
from gqvae.names import load
from gqvae.patterns import PATTERNS
from gqvae.tokenizer import Tokenizer

END = "<|endoftext|>"
TOYS = {pattern: toy(pattern) for pattern in PATTERNS}
SPECIAL = toy(specials=(END, "<|pad|>", "<|pad|>x"))


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
    monkeypatch.setattr("gqvae.names._BUNDLED", tmp_path)
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
