"""The Hugging Face export has our ids on everything."""

import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as HuggingFaceTokenizer
from tokenizers import pre_tokenizers
from toys import TEXT, toy

from gqvae.awkward import AWKWARD_TEXT
from gqvae.errors import GqvaeError
from gqvae.export import build_huggingface, byte_level_alphabet, export_huggingface, huggingface
from gqvae.patterns import PATTERNS
from gqvae.tokenizer import Tokenizer
from gqvae.vocabulary import Vocabulary

END = "<|endoftext|>"
DATA = Path(os.environ.get("GQVAE_DATA", Path(__file__).parents[1] / "../shared/data"))


def reloaded(tokenizer: Tokenizer) -> HuggingFaceTokenizer:
    """The export as a file's text and back: what its scores are after a round through JSON counts."""
    model = HuggingFaceTokenizer.from_str(build_huggingface(tokenizer).to_str())
    model.encode_special_tokens = True
    return model


PAIRS = {pattern: (toy(pattern), reloaded(toy(pattern))) for pattern in PATTERNS}
each_pair = pytest.mark.parametrize(("ours", "theirs"), PAIRS.values(), ids=list(PAIRS))
TRICKY = st.text(alphabet="abtsSſKk'’ \t\n\r\x0b\x1c\x1f\x85\u00a0\u2028\u3000\u0301\u200d1²٣天а.<|>\x00", max_size=40)


@each_pair
@given(st.one_of(st.text(), TRICKY, st.lists(st.sampled_from(TEXT.split())).map(" ".join)))
@settings(max_examples=300)
def test_ids_equal_on_any_text(ours: Tokenizer, theirs: HuggingFaceTokenizer, text: str) -> None:
    ids = ours.encode(text)
    assert theirs.encode(text).ids == ids
    assert theirs.decode(ids, skip_special_tokens=False) == text


@pytest.mark.parametrize("pattern", ["gpt2", "gpt4", "whitespace"])
def test_ids_equal_on_every_character(pattern: str) -> None:
    """Unicode grows: a character that is a letter to one library only would be split in two ways."""
    ours, theirs = PAIRS[pattern]
    characters = [chr(code) for code in range(0x40000) if not 0xD800 <= code < 0xE000]  # no letters above
    for start in range(0, len(characters), 50_000):
        text = "".join(f"a{character}1 " for character in characters[start : start + 50_000])
        assert theirs.encode(text).ids == ours.encode(text)


@given(
    st.dictionaries(
        st.text("ab", min_size=2, max_size=5).map(str.encode),
        st.one_of(st.sampled_from([-0.1, -0.2, -0.3, -1.0, 0.0]), st.floats(-1e6, 1e6)),
        max_size=12,
    ),
    st.lists(st.text("abc", max_size=40), min_size=5, max_size=5),
)
def test_ids_equal_whatever_the_scores(tokens: dict[bytes, float], texts: list[str]) -> None:
    """Sums of tenths tie or miss by one bit, depending on their order: the arithmetic must be the same."""
    ours = Tokenizer(Vocabulary(tuple(tokens)), [-0.1] * 256 + list(tokens.values()), "none", "ties")
    theirs = reloaded(ours)
    for text in texts:
        assert theirs.encode(text).ids == ours.encode(text)


def test_repeated_nuls_keep_their_number() -> None:
    ours, theirs = PAIRS["gpt2"]
    assert theirs.encode("\x00\x00\x00").ids == ours.encode("\x00\x00\x00") == [0, 0, 0]


def test_alphabet_is_the_byte_level_one() -> None:
    assert sorted(byte_level_alphabet()) == sorted(pre_tokenizers.ByteLevel.alphabet())
    assert byte_level_alphabet()[ord(" ")] == "Ġ"


def test_export_loads_in_auto_tokenizer_and_survives_save_pretrained(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = toy(specials=(END, "<|user|>", "<|pad|>"))
    report = export_huggingface(tokenizer, tmp_path / "hf", [TEXT, f"{TEXT}{END}<|user|>{TEXT}"])
    assert report["checked_with"] == ["tokenizers", "transformers"]
    assert report["vocab_size"] == tokenizer.vocab_size
    assert json.dumps(report)
    first = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    first.save_pretrained(tmp_path / "again")
    second = transformers.AutoTokenizer.from_pretrained(tmp_path / "again")
    for auto in (first, second):
        assert len(auto) == tokenizer.vocab_size
        assert (auto.eos_token_id, auto.pad_token_id) == (
            tokenizer.special_ids[END],
            tokenizer.special_ids["<|pad|>"],
        )
        for text in (*AWKWARD_TEXT, TEXT):
            assert auto(text, split_special_tokens=True)["input_ids"] == tokenizer.encode(text)
            assert auto.decode(tokenizer.encode(text)) == text
        assert auto(f"a{END}<|user|>b")["input_ids"] == tokenizer.encode(f"a{END}<|user|>b", allowed_special="all")


def test_export_is_deterministic_and_may_replace_an_export(tmp_path: Path) -> None:
    export_huggingface(toy(), tmp_path / "hf")
    first = (tmp_path / "hf/tokenizer.json").read_bytes()
    export_huggingface(toy(), tmp_path / "hf")
    assert (tmp_path / "hf/tokenizer.json").read_bytes() == first


def test_a_difference_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = toy()
    other = Tokenizer(tokenizer.vocabulary, tokenizer.scores[::-1], "gpt2", "other")
    wrong = build_huggingface(other)
    monkeypatch.setattr(huggingface, "build_huggingface", lambda _: wrong)
    with pytest.raises(GqvaeError, match="nothing was written: ids differ"):
        export_huggingface(tokenizer, tmp_path / "hf")
    assert list(tmp_path.iterdir()) == []


def test_other_peoples_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(GqvaeError, match=r"thesis\.txt"):
        export_huggingface(toy(), tmp_path)
    with pytest.raises(GqvaeError, match="is a file"):
        export_huggingface(toy(), tmp_path / "thesis.txt")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_special_token_that_spells_other_bytes_is_refused(tmp_path: Path) -> None:
    for name in ("é", "<|é|>", "Ġthe"):  # there the byte 0xE9, and the token " the"
        tokenizer = Tokenizer(Vocabulary((b" the",), (name,)), [0.0] * 257, "gpt2", "misread")
        with pytest.raises(GqvaeError, match=re.escape(f"['{name}'] cannot be exported: there they stand for other")):
            export_huggingface(tokenizer, tmp_path / "hf")
    assert not (tmp_path / "hf").exists()


@pytest.mark.parametrize("name", ["tinystories_valid.txt", "emoji_list.txt", "multilingual_train.txt"])
def test_ids_equal_on_real_text(name: str) -> None:
    if not (DATA / name).exists():
        pytest.skip("no data folder")
    text = (DATA / name).read_text(encoding="utf-8")[:200_000]
    for ours, theirs in PAIRS.values():
        assert theirs.encode(text).ids == ours.encode(text)
