"""The one exception that means "your input, not our bug", and what to install for a package that is missing."""

_EXTRAS = {
    "fast": ("numpy", "pyarrow"),
    "formats": ("gguf", "google", "sentencepiece", "tiktoken"),  # google is protobuf
    "ray": ("ray",),
}
"""Extras other than `train`, and the packages to install each for."""


class GqvaeError(ValueError):
    """Bad input: the message names the file, key or value at fault and says what to do.

    The command line prints the message as one line on stderr and exits with status 1.
    """


def to_install(module: str) -> str:
    """The command that brings a package that the base install does not."""
    package = module.partition(".")[0]
    extra = next((extra for extra, packages in _EXTRAS.items() if package in packages), "train")
    return f"pip install 'gqvae[{extra}]'"
