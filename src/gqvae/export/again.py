"""An export held against its tokenizer again, long after it was written: `gqvae verify TOK --export FOLDER`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gqvae.bpe import BPETokenizer
from gqvae.errors import GqvaeError
from gqvae.export import gguf, sentencepiece
from gqvae.export.huggingface import check_huggingface, with_specials
from gqvae.export.parity import Proof
from gqvae.export.portable import check_portable, load_portable
from gqvae.export.tiktoken import ABOUT
from gqvae.files import read_json
from gqvae.names import load
from gqvae.tokenizer import Tokenizer
from gqvae.verify import Check


def verify_export(name: str | Path, folder: str | Path, samples: Iterable[str] = ()) -> Check:
    """Prove the ids of the export in `folder` equal to those of the tokenizer `name`, on awkward text and `samples`.

    Portable exports, and GGUF files made from them, have ids of their own: those are held against the export's own
    files, in every program that is installed, once pattern and number of ids are those of the tokenizer.
    """
    folder, title = Path(folder), f"export {folder} equal"
    try:
        return Check(title, True, _checked(load(name), folder, samples))
    except ModuleNotFoundError:  # which says nothing of the export
        raise
    except Exception as error:  # every library has its own for a damaged file
        return Check(title, False, " ".join(str(error).replace(", so nothing was written", "").split()))


def _checked(tokenizer: Tokenizer, folder: Path, samples: Iterable[str]) -> str:
    if (folder / "tokenizer.json").exists() and _is_bpe(folder):
        held = _kin(load_portable(folder), tokenizer)
        proof, note = Proof.of(held, samples), "ids of its own, the same in "
        whole = (folder / ABOUT).exists()  # else a Hugging Face export of a portable one
        programs = check_portable(proof, held, folder) if whole else check_huggingface(proof, folder)
    elif (folder / "tokenizer.json").exists():
        proof = Proof.of(with_specials(tokenizer, _specials(folder)), samples)
        programs, note = check_huggingface(proof, folder), "in "
    elif (folder / gguf.FILE).exists():
        held = _kin(gguf.load_gguf(folder), tokenizer)
        proof = Proof.of(held, samples)
        programs, note = gguf.check_gguf(proof, held, folder), "ids of its own, the same in "
    elif (folder / sentencepiece.FILE).exists():
        proof = sentencepiece.proof_of(tokenizer, samples)
        programs, note = sentencepiece.check_sentencepiece(proof, tokenizer, folder), "in "
    else:
        raise GqvaeError("there is no export in it")
    return f"{note}{', '.join(programs)}; {len(proof.texts)} texts"


def _kin(model: BPETokenizer, tokenizer: Tokenizer) -> BPETokenizer:
    """`model`, if a portable export of the tokenizer would have its pattern and size. Raises GqvaeError if not."""
    for what, ours, theirs in (
        ("pattern", tokenizer.pattern, model.pattern),
        ("number of learned ids", len(tokenizer.vocabulary.learned), len(model.vocabulary.learned)),
    ):
        if ours != theirs:
            raise GqvaeError(f"it is no portable export of {tokenizer.name}: its {what} is {theirs}, not {ours}")
    return model


def _is_bpe(folder: Path) -> bool:
    """Whether it is the export of a portable one. Raises GqvaeError for what is none of Hugging Face's."""
    try:
        return bool(read_json(folder / "tokenizer.json")["model"]["type"] == "BPE")
    except (KeyError, TypeError) as error:
        raise GqvaeError(f"{folder / 'tokenizer.json'} is no tokenizer of Hugging Face") from error


def _specials(folder: Path) -> list[str]:
    """The special tokens of the export: it may have more than the tokenizer."""
    content: Any = read_json(folder / "tokenizer.json")
    try:
        return [token["content"] for token in content["added_tokens"]]
    except (KeyError, TypeError) as error:
        raise GqvaeError(f"{folder / 'tokenizer.json'} is no tokenizer of Hugging Face") from error
