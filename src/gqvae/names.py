"""What the name of a tokenizer means: a folder, or one that comes with the package."""

from pathlib import Path

from gqvae.artifact import FILE_NAME
from gqvae.errors import GqvaeError
from gqvae.tokenizer import Tokenizer

_BUNDLED = Path(__file__).parent / "bundled"


def load(name: str | Path) -> Tokenizer:
    """The tokenizer saved in the folder `name`, or else the one bundled with the package under that name.

    Raises:
        GqvaeError: there is no such tokenizer (the message lists the bundled ones), or its file is damaged.
    """
    return Tokenizer.load(folder_of(name))


def folder_of(name: str | Path) -> Path:
    """Where the tokenizer that `name` means lies. Raises GqvaeError as `load` does."""
    folder, names = Path(name), bundled_names()
    here = folder.is_file() or any((folder / file).exists() for file in (FILE_NAME, "tokenizer.json"))
    if str(name) in names and not here:
        return _BUNDLED / name
    if not folder.exists():
        raise GqvaeError(f"no folder and no bundled tokenizer {str(name)!r}; bundled: {', '.join(names) or 'none'}")
    return folder


def bundled_names() -> list[str]:
    """The names of the tokenizers that come with the package."""
    return sorted(path.parent.name for path in _BUNDLED.glob(f"*/{FILE_NAME}"))
