"""GQ-VAE: learned, variable-length, lossless tokenizers.

>>> import gqvae
>>> tokenizer = gqvae.load("out/demo/tokenizer")  # doctest: +SKIP
>>> tokenizer.decode(tokenizer.encode("Once upon a time"))  # doctest: +SKIP
'Once upon a time'
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gqvae.errors import GqvaeError as GqvaeError
    from gqvae.names import bundled_names as bundled_names
    from gqvae.names import load as load
    from gqvae.tokenizer import Tokenizer as Tokenizer
    from gqvae.vocabulary import Vocabulary as Vocabulary

__version__ = "0.1.0"
__all__ = ["GqvaeError", "Tokenizer", "Vocabulary", "__version__", "bundled_names", "load"]

# Public name -> its module, imported when the name is first asked for: `import gqvae` stays instant.
_HOME = {
    "GqvaeError": "gqvae.errors",
    "Tokenizer": "gqvae.tokenizer",
    "Vocabulary": "gqvae.vocabulary",
    "bundled_names": "gqvae.names",
    "load": "gqvae.names",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'gqvae' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
