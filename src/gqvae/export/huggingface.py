"""Export to Hugging Face: what `AutoTokenizer` loads without custom code, and vLLM and trainers with it.

Behind the tokenizer's own pattern and a byte-level alphabet stands a Unigram model, or for a `BPETokenizer` a BPE.
Three choices matter:

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
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as HuggingFaceTokenizer

from gqvae.bpe import BPETokenizer
from gqvae.errors import GqvaeError
from gqvae.export.chat import Settings
from gqvae.export.parity import Proof, Runtime, expect, unreachable_ids, write_export
from gqvae.patterns import PATTERNS
from gqvae.tokenizer import Tokenizer

NOTE = "Hugging Face parses special tokens in text unless called with split_special_tokens=True"


def export_huggingface(
    tokenizer: Tokenizer | BPETokenizer,
    folder: str | Path,
    samples: Iterable[str] | None = None,
    settings: Settings | None = None,
) -> dict[str, Any]:
    """Write `tokenizer.json` and `tokenizer_config.json` that `AutoTokenizer` loads without custom code.

    The files are read back and their ids compared with ours on built-in awkward text and `samples`, before
    they take the place of `folder`: with `tokenizers`, and with `AutoTokenizer` where transformers is
    installed.

    Args:
        samples: texts for the parity check, such as held-out documents.
        settings: what `transformers` is told beside the ids.

    Returns:
        A report: format, folder, vocab_size, documents (of `samples`), samples and bytes (compared), ids_equal,
        round_trip, unreachable_ids, checked_with, note.

    Raises:
        GqvaeError: the ids differ (nothing is written), or the folder cannot be written or is not an export.
    """
    settings = settings or Settings()
    if isinstance(tokenizer, BPETokenizer):
        vocabulary = tokenizer.vocabulary.with_specials(settings.specials)
        tokenizer = BPETokenizer(vocabulary, tokenizer.pattern, tokenizer.name)
    else:
        tokenizer = with_specials(tokenizer, settings.specials)
    proof = Proof.of(tokenizer, samples or ())

    def write(temporary: Path) -> dict[str, Any]:
        write_huggingface(tokenizer, temporary, settings)
        checked = check_huggingface(proof, temporary)
        unreachable = unreachable_ids(tokenizer) if isinstance(tokenizer, Tokenizer) else len(tokenizer.unreachable)
        return proof.report("huggingface", unreachable, checked, NOTE)

    return write_export(folder, write)


def with_specials(tokenizer: Tokenizer, names: Iterable[str]) -> Tokenizer:
    """The same tokenizer with more special tokens, those it lacks of `names`, after all other ids."""
    vocabulary = tokenizer.vocabulary.with_specials(names)
    return Tokenizer(vocabulary, tokenizer.scores, tokenizer.pattern, tokenizer.name, tokenizer.provenance)


def write_huggingface(tokenizer: Tokenizer | BPETokenizer, folder: Path, settings: Settings) -> None:
    """Write the two files, unchecked."""
    # not `save`, whose errors say nothing of the system's
    (folder / "tokenizer.json").write_text(build_huggingface(tokenizer).to_str(pretty=True), encoding="utf-8")
    config = json.dumps(settings.config(tokenizer.vocabulary.specials), indent=2, ensure_ascii=False) + "\n"
    (folder / "tokenizer_config.json").write_text(config, encoding="utf-8")


def build_huggingface(tokenizer: Tokenizer | BPETokenizer) -> HuggingFaceTokenizer:
    """The same tokenizer as a `tokenizers` pipeline.

    Raises:
        GqvaeError: a special token's name would be read in the byte-level alphabet, as other bytes.
    """
    spelled = [spell(token) for token in tokenizer.vocabulary.plain_tokens]
    misread = [name for name in tokenizer.vocabulary.specials if not name.isascii() and set(name) <= set(_ALPHABET)]
    if misread:
        raise GqvaeError(f"special tokens {misread} cannot be exported: there they stand for other bytes; use ASCII")
    return byte_level_pipeline(_model(tokenizer, spelled), tokenizer.pattern, tokenizer.vocabulary.specials)


def byte_level_pipeline(model: models.Model, pattern: str, specials: Iterable[str]) -> HuggingFaceTokenizer:
    """A byte-level pipeline around `model`: the pattern's pretokens before it, special tokens after its ids."""
    result = HuggingFaceTokenizer(model)
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    expression = PATTERNS[pattern]
    if expression is None:
        result.pre_tokenizer = byte_level
    else:
        split = pre_tokenizers.Split(Regex(expression), "isolated")
        result.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    result.decoder = decoders.ByteLevel()
    result.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in specials])
    return result


def _model(tokenizer: Tokenizer | BPETokenizer, spelled: list[str]) -> models.Model:
    if isinstance(tokenizer, Tokenizer):
        # The binding's annotations want unk_id: None is what leaves it out.
        return models.Unigram(list(zip(spelled, tokenizer.scores, strict=True)), unk_id=None)
    pairs = [(spell(left), spell(right)) for left, right in tokenizer.pairs.values()]
    return models.BPE({token: id_ for id_, token in enumerate(spelled)}, pairs, ignore_merges=True)


def byte_level_alphabet() -> list[str]:
    """The character that stands for each byte in byte-level tokenizers (GPT-2's `bytes_to_unicode`)."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(spare)) for byte in range(256)]


_ALPHABET = byte_level_alphabet()
_BYTE_OF = {character: byte for byte, character in enumerate(_ALPHABET)}


def spell(token: bytes) -> str:
    """A token in the byte-level alphabet."""
    return "".join([_ALPHABET[byte] for byte in token])


def unspell(spelled: str) -> bytes:
    """The token that is spelled so. Raises KeyError for a character that is not of the alphabet."""
    return bytes(map(_BYTE_OF.__getitem__, spelled))


def check_huggingface(proof: Proof, folder: Path) -> list[str]:
    """Compare the export in `folder` with what `proof` expects.

    Returns the packages it was checked with: "tokenizers", and "transformers" where that is installed.

    Raises:
        GqvaeError: a size, an id or a decoded text differs.
    """
    return [_checked(proof, runtime) for runtime in _runtimes(proof, folder)]


def _checked(proof: Proof, runtime: Runtime) -> str:
    proof.check(runtime)
    return runtime.name


def _runtimes(proof: Proof, folder: Path) -> Iterator[Runtime]:
    parsing, plain = (HuggingFaceTokenizer.from_file(str(folder / "tokenizer.json")) for _ in range(2))
    for name, index in proof.reference.vocabulary.special_ids.items():
        expect(parsing.token_to_id(name) == index, f"the id of {name!r} differs")
    plain.encode_special_tokens = True
    yield Runtime(
        name="tokenizers",
        size=parsing.get_vocab_size(),
        encode=lambda text: parsing.encode(text, add_special_tokens=False).ids,
        decode=lambda ids: parsing.decode(ids, skip_special_tokens=False),
        plain=lambda text: plain.encode(text, add_special_tokens=False).ids,
    )
    if find_spec("transformers") is None:
        return
    from transformers import AutoTokenizer

    auto = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    if auto.chat_template:
        _expect_jinja(auto)
    yield Runtime(
        name="transformers",
        size=len(auto),
        encode=lambda text: auto(text, verbose=False)["input_ids"],
        decode=auto.decode,
        plain=lambda text: auto(text, split_special_tokens=True, verbose=False)["input_ids"],
    )


def _expect_jinja(auto: Any) -> None:
    """Raise GqvaeError for a chat template that is none, which otherwise shows when somebody talks to the model."""
    from jinja2 import TemplateSyntaxError

    try:
        auto.apply_chat_template([{"role": "user", "content": "Hello"}], tokenize=False)
    except TemplateSyntaxError as error:
        where = f"line {error.lineno}: {error}"
        raise GqvaeError(f"the chat template is not Jinja, so nothing was written: {where}") from error
    except Exception:  # it may want messages of another form, and says so in its own way
        return
