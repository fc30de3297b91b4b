"""The tokenizers that come with the package: there, whole, small, and with a recipe that remakes them."""

import json
import tomllib
from pathlib import Path

import pytest
from toys import toy

import gqvae
from gqvae.awkward import AWKWARD_BYTES, AWKWARD_TEXT
from gqvae.encoder.viterbi import best_lengths, build_trie

NAMES = (
    "tinystories-1024",
    "tinystories-4096",
    "wikipedia-8192",
    "code-8192",
    "multilingual-8192",
    "tinystories-8192-superword",
    "wikipedia-8192-superword",
)
ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "src" / "gqvae" / "bundled"


def test_the_bundled_tokenizers_are_these() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_bundled_tokenizer_is_whole(name: str) -> None:
    tokenizer = gqvae.load(name)
    assert tokenizer.name == name
    assert tokenizer.vocab_size == int(name.split("-")[1])
    for data in [*(text.encode() for text in AWKWARD_TEXT), *AWKWARD_BYTES]:
        assert tokenizer.decode_bytes(tokenizer.encode(data)) == data


@pytest.mark.parametrize("name", NAMES)
def test_every_id_of_a_bundled_tokenizer_is_reachable(name: str) -> None:
    """No string loses to shorter ones that spell it: that would be so wherever it stood."""
    tokenizer = gqvae.load(name)
    tokens = tokenizer.vocabulary.plain_tokens
    trie, longest = build_trie(tokens, tokenizer.scores), max(map(len, tokens))
    assert not [token for token in tokens if best_lengths(token, trie, longest) != [len(token)]]


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("superword")])
def test_tokens_of_a_superword_tokenizer_cross_words(name: str) -> None:
    crossing = [token for token in gqvae.load(name).vocabulary.learned if b" " in token[1:].strip(b" ")]
    assert len(crossing) > 1_000


@pytest.mark.parametrize("name", NAMES)
def test_a_bundled_tokenizer_says_where_it_comes_from_and_has_a_recipe(name: str) -> None:
    recipes = tomllib.loads((ROOT / "runs" / "recipes.toml").read_text(encoding="utf-8"))
    provenance = gqvae.load(name).provenance
    assert provenance["seed"] == 0
    assert provenance["corpus"]["documents"] > 0
    assert provenance["config"]["vocab_size"] == int(name.split("-")[1])
    content = json.loads((FOLDER / name / "gqvae.json").read_text(encoding="utf-8"))
    assert content["name"] == name
    measured = json.loads((ROOT / "runs" / "results" / f"{name}-seed0.json").read_text(encoding="utf-8"))
    assert measured["tokenizer_sha256"] == content["sha256"]  # what is measured is what ships
    assert name in recipes
    for setting in recipes[name].get("settings", []):
        key, value = setting.split("=")
        found = provenance["config"]
        for part in key.split("."):
            found = found[part]
        assert str(found) == value


def test_a_tokenizer_of_ones_own_goes_before_a_bundled_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = gqvae.bundled_names()[0]
    Path(name).mkdir()
    assert gqvae.load(name).vocab_size > 1000  # the folder holds no tokenizer
    assert set(gqvae.bundled_names()) == set(NAMES)
    toy().save(name)
    assert gqvae.load(name).name == "toy"


def test_the_bundled_tokenizers_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.glob("*/*")) < 3_000_000
