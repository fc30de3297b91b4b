"""What a comparison compares, and how large; with the corpus this decides every cell. Sizes by name: `SIZES`."""

from dataclasses import dataclass, field

from gqvae.config import SMALLEST, Config
from gqvae.errors import GqvaeError
from gqvae.settings import Settings, different, not_negative, positive, share

SMALLEST_BASE = 512
"""Ids of the smallest tokenizer that a superword tokenizer reads."""


@dataclass(frozen=True, kw_only=True)
class ProbeSettings:
    """The small Llama that learns each tokenizer's ids (`gqvae.reproduce.probe`)."""

    width: int = 128
    layers: int = 4
    heads: int = 4
    context_bytes: int = 1_024
    """Bytes of text in a context: as many tokens as that takes."""
    batch_bytes: int = 4_096
    """Bytes of text in a step, a multiple of the context."""
    epochs: float = 1.0
    learning_rate: float = 3e-3
    weight_decay: float = 0.1
    warmup_steps: int = 50
    points: int = 8
    """Measurements along the way."""

    def __post_init__(self) -> None:
        positive(self, "width", "layers", "heads", "context_bytes", "batch_bytes", "epochs", "learning_rate", "points")
        not_negative(self, "weight_decay", "warmup_steps")
        if self.width % (2 * self.heads):
            raise GqvaeError(f"width ({self.width}) must be a multiple of twice the heads ({self.heads})")
        if self.batch_bytes % self.context_bytes:
            raise GqvaeError(f"batch_bytes ({self.batch_bytes}) must be a multiple of context_bytes")


@dataclass(frozen=True, kw_only=True)
class ComparisonSettings(Settings):
    """What comparisons of any kind have."""

    seeds: tuple[int, ...] = (0, 1, 2)
    held_out: float = 0.05
    """Share of the documents, by hash, that all figures are measured on."""
    most_bytes: int | None = None
    """Use the first documents, up to so many bytes; None: all."""

    def __post_init__(self) -> None:
        share(self, "held_out")
        different(self, "seeds")
        if not self.seeds or not all(0 <= seed < 2**63 for seed in self.seeds):
            raise GqvaeError("seeds must lie between 0 and 2**63 - 1, at least one")


@dataclass(frozen=True, kw_only=True)
class ReproduceSettings(ComparisonSettings):
    """One comparison of tokenizers. Seeds are those of the language models; tokenizers are trained with the first."""

    vocab_size: int = 4_096
    """Ids of the tokenizers that are compared."""
    curve: tuple[int, ...] = (1_024, 2_048)
    """Further sizes at which GQ-VAE and BPE are compared in compression."""
    spans: tuple[int, ...] = (2, 3, 4, 6, 8)
    """k of the fixed-length tokenizers: a token every k bytes."""
    superword: bool = True
    """Compare tokens across words, too."""
    steps: int = 1_000
    """Training steps of GQ-VAE within words."""
    superword_steps: int = 700
    fixed_steps: int = 500
    tokenizer: tuple[str, ...] = ()
    """Further settings of every GQ-VAE, `section.key=value`."""
    probe: ProbeSettings = field(default_factory=ProbeSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "steps", "superword_steps", "fixed_steps")
        for size in (self.vocab_size, *self.curve):
            if size < SMALLEST:
                raise GqvaeError(f"vocab_size and curve must be at least {SMALLEST}, not {size}")
        different(self, "spans")
        if any(span < 2 for span in self.spans):
            raise GqvaeError("spans must be at least 2: a token every byte needs no training")
        Config().override(self.tokenizer)  # what no training would take is told now
        if self.superword and self.vocab_size <= SMALLEST_BASE:
            raise GqvaeError(f"superword needs a vocab_size of more than {SMALLEST_BASE}; or say superword=false")

    @property
    def base_size(self) -> int:
        """Ids of the tokenizer inside words that the superword tokenizer reads."""
        return max(SMALLEST_BASE, self.vocab_size // 4)


SIZES = {
    "default": ReproduceSettings(),
    "quick": ReproduceSettings(
        vocab_size=1_024,
        curve=(512,),
        spans=(2, 4),
        most_bytes=1_000_000,
        steps=250,
        superword_steps=200,
        fixed_steps=150,
        probe=ProbeSettings(width=64, layers=2, heads=2, context_bytes=512, batch_bytes=4_096, points=5),
    ),
    "large": ReproduceSettings(
        vocab_size=8_192,
        curve=(2_048, 4_096, 16_384),
        seeds=(0, 1, 2, 3, 4),
        steps=3_000,
        superword_steps=2_000,
        fixed_steps=1_500,
        probe=ProbeSettings(
            width=512, layers=8, heads=8, context_bytes=2_048, batch_bytes=65_536, learning_rate=1e-3, warmup_steps=200
        ),
    ),
}
"""default: under two hours on two CPU cores for a few MB. quick: under ten minutes, a first look. large: for a GPU."""
