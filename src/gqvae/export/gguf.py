"""The keys of a GGUF file that hold a tokenizer, for llama.cpp: `tokenizer.gguf`, a file of a vocabulary alone.

Only a portable BPE fits (`model` gpt2). llama.cpp knows patterns by name and has them built in; of ours it has two.
With the one that it calls "gpt-2" it always merges: ids for whole words alone could not occur. With "llama-bpe" it
looks for the whole pretoken first, as `ignore_merges` does.

llama.cpp is not run here (`docs/exports.md` says when it was). What is checked: each key as `gguf` reads it back; and
the ids that `tokenizers` gives with the file's tokens and merges, with or without `ignore_merges` as llama.cpp would.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as HuggingFaceTokenizer
from tokenizers import models

from gqvae.bpe import BPETokenizer
from gqvae.errors import GqvaeError
from gqvae.export.chat import PAD
from gqvae.export.huggingface import byte_level_pipeline, spell, unspell
from gqvae.export.parity import Proof, Runtime, expect, write_export
from gqvae.vocabulary import BYTES, END_OF_TEXT, Vocabulary

FILE = "tokenizer.gguf"
NAMES = {"gpt2": "gpt-2", "gpt4": "llama-bpe"}
"""llama.cpp's names of our patterns."""
WHOLE_FIRST = ("llama-bpe",)
"""The ones that look up the whole pretoken before they merge (`ignore_merges`)."""
NOTE = (
    "llama.cpp itself is not run here. Its llama_detokenize removes spaces before punctuation for these models "
    "(clean_spaces); joining llama_token_to_piece does not. It parses special tokens only where parse_special is set."
)
NOTE_GPT4 = " After an apostrophe it does not take ſ (U+017F) for an s, as this pattern does."


def export_gguf(tokenizer: BPETokenizer, folder: str | Path, samples: Iterable[str] | None = None) -> dict[str, Any]:
    """Write `tokenizer.gguf`, read it back and compare, before it takes its place in `folder`.

    Returns the report of `export_huggingface`, and "keys", those that were written and compared.

    Raises GqvaeError for a pattern that llama.cpp does not have, for ids it could not give, and if anything differs.
    """
    keys = keys_of(tokenizer)
    proof = Proof.of(tokenizer, samples or ())

    def write(temporary: Path) -> dict[str, Any]:
        write_gguf(keys, tokenizer.name, temporary / FILE)
        checked = check_gguf(proof, tokenizer, temporary)
        note = NOTE + (NOTE_GPT4 if tokenizer.pattern == "gpt4" else "")
        return proof.report("gguf", len(tokenizer.unreachable), checked, note) | {"keys": list(keys)}

    return write_export(folder, write)


def check_gguf(proof: Proof, tokenizer: BPETokenizer, folder: Path) -> list[str]:
    """Compare the file with what `proof` expects, and its keys with the tokenizer's; what it was read with."""
    found = read_gguf(folder / FILE)
    for key, value in keys_of(tokenizer).items():
        expect(found.get(key) == value, f"{key} is not the one of its tokens")
    proof.check(_as_llama_would(tokenizer, found))
    return ["gguf", "tokenizers, given the file's tokens and merges"]


def load_gguf(folder: Path) -> BPETokenizer:
    """The tokenizer that a file's tokens, their kinds and its pattern say. Raises GqvaeError if it is none of ours."""
    from gguf import TokenType

    found = read_gguf(folder / FILE)
    try:
        pattern = {theirs: ours for ours, theirs in NAMES.items()}[found["tokenizer.ggml.pre"]]
        tokens = list(zip(found["tokenizer.ggml.tokens"], found["tokenizer.ggml.token_type"], strict=True))
        specials = tuple(token for token, kind in tokens if kind == TokenType.CONTROL)
        plain = [unspell(token) for token, kind in tokens if kind == TokenType.NORMAL]
        return BPETokenizer(Vocabulary(tuple(plain[BYTES:]), specials), pattern, folder.resolve().name)
    except (KeyError, TypeError, ValueError) as error:
        raise GqvaeError(f"{folder / FILE} is no export of gqvae ({error!r})") from error


def _name_of_pattern(tokenizer: BPETokenizer) -> str:
    pre = NAMES.get(tokenizer.pattern)
    if pre is None:
        raise GqvaeError(f"llama.cpp has no pattern {tokenizer.pattern!r}: of ours it has {' and '.join(NAMES)}")
    if pre not in WHOLE_FIRST and tokenizer.whole_only:
        raise GqvaeError(
            f"{len(tokenizer.whole_only)} ids stand for whole words that no merges make, and llama.cpp always merges "
            f"with its {pre}: make the portable tokenizer with --merges-only, or train with the pattern gpt4"
        )
    return pre


def keys_of(tokenizer: BPETokenizer) -> dict[str, Any]:
    """The keys and their values, in llama.cpp's names. Raises GqvaeError for what llama.cpp cannot do."""
    from gguf import TokenType

    pre = _name_of_pattern(tokenizer)
    plain, specials = tokenizer.vocabulary.plain_tokens, tokenizer.vocabulary.specials
    keys: dict[str, Any] = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": [*map(spell, plain), *specials],
        "tokenizer.ggml.token_type": [int(TokenType.NORMAL)] * len(plain) + [int(TokenType.CONTROL)] * len(specials),
        "tokenizer.ggml.merges": [f"{spell(left)} {spell(right)}" for left, right in tokenizer.pairs.values()],
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.add_eos_token": False,
        "tokenizer.ggml.add_space_prefix": False,
    }
    ids = tokenizer.special_ids
    if END_OF_TEXT in ids:
        keys |= {"tokenizer.ggml.bos_token_id": ids[END_OF_TEXT], "tokenizer.ggml.eos_token_id": ids[END_OF_TEXT]}
    if PAD in ids:
        keys["tokenizer.ggml.padding_token_id"] = ids[PAD]
    return keys


def write_gguf(keys: Mapping[str, Any], name: str, path: Path) -> None:
    """Write a GGUF file of these keys, without tensors."""
    from gguf import GGUFWriter

    writer = GGUFWriter(path, arch="gpt2")
    writer.add_name(name)
    for key, value in keys.items():
        if isinstance(value, list):
            writer.add_array(key, value)
        elif isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        else:
            writer.add_string(key, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read_gguf(path: Path) -> dict[str, Any]:
    """The keys of a file and their values."""
    from gguf import GGUFReader

    return {key: field.contents() for key, field in GGUFReader(path).fields.items()}


def _as_llama_would(tokenizer: BPETokenizer, found: Mapping[str, Any]) -> Runtime:
    parsing, plain = (_built(tokenizer, found) for _ in range(2))
    plain.encode_special_tokens = True
    return Runtime(
        name="the file's tokens and merges",
        size=len(found["tokenizer.ggml.tokens"]),
        encode=lambda text: parsing.encode(text).ids,
        decode=lambda ids: parsing.decode(ids, skip_special_tokens=False),
        plain=lambda text: plain.encode(text).ids,
    )


def _built(tokenizer: BPETokenizer, found: Mapping[str, Any]) -> HuggingFaceTokenizer:
    tokens, types = found["tokenizer.ggml.tokens"], found["tokenizer.ggml.token_type"]
    pairs = list(_pairs(found["tokenizer.ggml.merges"]))
    vocabulary = {token: id_ for id_, (token, kind) in enumerate(zip(tokens, types, strict=True)) if kind == types[0]}
    model = models.BPE(vocabulary, pairs, ignore_merges=found["tokenizer.ggml.pre"] in WHOLE_FIRST)
    return byte_level_pipeline(model, tokenizer.pattern, tokens[len(vocabulary) :])


def _pairs(merges: Iterable[str]) -> Iterator[tuple[str, str]]:
    for merge in merges:
        left, right = merge.split(" ")
        yield left, right
