"""Export to Hugging Face, with proof that the ids are the same.

The export is a Unigram model behind the tokenizer's own pattern and a byte-level alphabet. Three choices
matter:

- there is no `<unk>`: every byte is a token, so nothing is unknown. (An `unk_id` that names a real token is
  not harmless: Hugging Face fuses neighbours with that id into one token and loses text.)
- the specials are added tokens that follow the model's ids. They are not in the model, so that their text
  cannot reach their ids through it.
- Hugging Face parses added tokens in text by default, so text can hold a special token there. Its ids are
  then those of our `encode(..., allowed_special="all")`. Where text is not trusted, call the tokenizer with
  `split_special_tokens=True` (transformers) or set `encode_special_tokens = True` (tokenizers): the ids are
  then those of our plain `encode`.
"""

import json
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as HuggingFaceTokenizer

from gqvae.awkward import AWKWARD_TEXT, special_texts
from gqvae.errors import GqvaeError
from gqvae.files import replacing_folder
from gqvae.patterns import PATTERNS
from gqvae.tokenizer import Tokenizer


def export_huggingface(
    tokenizer: Tokenizer, folder: str | Path, samples: Iterable[str] | None = None
) -> dict[str, Any]:
    """Write `tokenizer.json` and `tokenizer_config.json` that `AutoTokenizer` loads without custom code.

    The files are read back and their ids compared with ours on built-in awkward text and `samples`, before
    they take the place of `folder`: with `tokenizers`, and with `AutoTokenizer` where transformers is
    installed.

    Args:
        samples: texts for the parity check, such as held-out documents.

    Returns:
        A report: format, folder, vocab_size, samples and bytes (compared), ids_equal, round_trip,
        checked_with, note.

    Raises:
        GqvaeError: the ids differ (nothing is written), or the folder cannot be written or is not an export.
    """
    folder = Path(folder)
    _refuse_foreign(folder)
    texts = list(chain(AWKWARD_TEXT, special_texts(tokenizer.vocabulary.specials), samples or ()))
    model = build_huggingface(tokenizer)
    try:
        with replacing_folder(folder) as temporary:
            model.save(str(temporary / "tokenizer.json"))
            config = json.dumps(_config(tokenizer), indent=2, ensure_ascii=False) + "\n"
            (temporary / "tokenizer_config.json").write_text(config, encoding="utf-8")
            checked_with = check_parity(tokenizer, temporary, texts)
    except OSError as error:
        raise GqvaeError(f"cannot write {folder}: {error.strerror or error}") from error
    return {
        "format": "huggingface",
        "folder": str(folder),
        "vocab_size": tokenizer.vocab_size,
        "samples": len(texts),
        "bytes": sum(len(text.encode()) for text in texts),
        "ids_equal": True,
        "round_trip": True,
        "checked_with": checked_with,
        "note": "Hugging Face parses special tokens in text unless called with split_special_tokens=True",
    }


def build_huggingface(tokenizer: Tokenizer) -> HuggingFaceTokenizer:
    """The same tokenizer as a `tokenizers` pipeline.

    Raises:
        GqvaeError: a special token's name is also what the byte-level alphabet calls some other token.
    """
    alphabet = byte_level_alphabet()
    spelled = ["".join(alphabet[byte] for byte in token) for token in tokenizer.vocabulary.plain_tokens]
    clashes = set(tokenizer.vocabulary.specials) & set(spelled)
    if clashes:
        # Hugging Face would give the special token that token's id.
        raise GqvaeError(f"special tokens {sorted(clashes)} cannot be exported: there they spell other tokens")
    # The binding's annotations want unk_id: None is what leaves it out.
    model = models.Unigram(list(zip(spelled, tokenizer.scores, strict=True)), unk_id=None)
    result = HuggingFaceTokenizer(model)
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    pattern = PATTERNS[tokenizer.pattern]
    if pattern is None:
        result.pre_tokenizer = byte_level
    else:
        split = pre_tokenizers.Split(Regex(pattern), "isolated")
        result.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    result.decoder = decoders.ByteLevel()
    result.add_special_tokens(
        [AddedToken(name, normalized=False, special=True) for name in tokenizer.vocabulary.specials]
    )
    return result


def byte_level_alphabet() -> list[str]:
    """The character that stands for each byte in byte-level tokenizers (GPT-2's `bytes_to_unicode`)."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(spare)) for byte in range(256)]


def check_parity(tokenizer: Tokenizer, folder: Path, texts: Sequence[str]) -> list[str]:
    """Compare the ids of the export in `folder` with ours on `texts`, specials parsed and not.

    Returns the packages it was checked with: "tokenizers", and "transformers" where that is installed.

    Raises:
        GqvaeError: a size, an id or a decoded text differs.
    """
    model = HuggingFaceTokenizer.from_file(str(folder / "tokenizer.json"))
    _expect(model.get_vocab_size() == tokenizer.vocab_size, "the number of ids differs")
    for name, index in tokenizer.special_ids.items():
        _expect(model.token_to_id(name) == index, f"the id of {name!r} differs")
    parsed = [tokenizer.encode(text, allowed_special="all") for text in texts]
    plain = [tokenizer.encode(text) for text in texts]
    _compare(texts, parsed, [model.encode(text, add_special_tokens=False).ids for text in texts])
    for text, ids in zip(texts, parsed, strict=True):
        _expect(model.decode(ids, skip_special_tokens=False) == text, f"{text[:60]!r} does not round-trip")
    model.encode_special_tokens = True
    _compare(texts, plain, [model.encode(text, add_special_tokens=False).ids for text in texts])
    if find_spec("transformers") is None:
        return ["tokenizers"]
    from transformers import AutoTokenizer

    auto = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    _expect(len(auto) == tokenizer.vocab_size, "the number of ids differs in AutoTokenizer")
    _compare(texts, parsed, [auto(text)["input_ids"] for text in texts])
    _compare(texts, plain, [auto(text, split_special_tokens=True)["input_ids"] for text in texts])
    for text, ids in zip(texts, parsed, strict=True):
        _expect(auto.decode(ids) == text, f"{text[:60]!r} does not round-trip in AutoTokenizer")
    return ["tokenizers", "transformers"]


def _config(tokenizer: Tokenizer) -> dict[str, Any]:
    """What transformers needs beside tokenizer.json; 4.x and 5.x both know this class name."""
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,  # true would change decoded text
        "model_max_length": 10**30,  # transformers' own word for "no limit"
    }
    if "<|endoftext|>" in tokenizer.vocabulary.specials:
        config["bos_token"] = config["eos_token"] = "<|endoftext|>"  # as in GPT-2
    if "<|pad|>" in tokenizer.vocabulary.specials:
        config["pad_token"] = "<|pad|>"
    return config


def _refuse_foreign(folder: Path) -> None:
    """Replacing a folder deletes what is in it: do so only for an earlier export."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise GqvaeError(f"{folder} is a file: give a folder for the export")
    names = {"tokenizer.json", "tokenizer_config.json"}
    others = sorted(path.name for path in folder.iterdir() if path.name not in names)
    if others:
        raise GqvaeError(f"{folder} holds other files ({', '.join(others[:3])}): export to a folder of its own")


def _compare(texts: Sequence[str], ours: list[list[int]], theirs: list[list[int]]) -> None:
    for text, expected, actual in zip(texts, ours, theirs, strict=True):
        _expect(expected == actual, f"ids differ on {text[:60]!r}")


def _expect(holds: bool, message: str) -> None:
    if not holds:
        raise GqvaeError(f"the export is not the same tokenizer, so nothing was written: {message}")
