"""What a comparison of quantizers compares, and how large; with the corpus this decides every cell."""

from dataclasses import dataclass

from gqvae.config import SMALLEST, Config
from gqvae.errors import GqvaeError
from gqvae.learn.quantizers.registry import names
from gqvae.reproduce.settings import ComparisonSettings
from gqvae.settings import different, positive
from gqvae.zoo.arms import ARMS, Arm

MODEL = (
    "model.width=64", "model.heads=2", "model.encoder_layers=1", "model.decoder_layers=1", "model.decoder_width=96",
    "model.character_width=24", "model.longest_token=10", "pretokens.window=12", "training.learning_rate=4e-3",
    "training.batch_symbols=768", "quantizer.warmup_steps=60", "quantizer.revive_every=25",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ZooSettings(ComparisonSettings):
    """One comparison of quantizers."""

    vocab_size: int = 512
    steps: int = 250
    """Training steps of each arm."""
    arms: tuple[str, ...] = tuple(ARMS)
    """Those of `gqvae.zoo.arms`, and any other quantizer by its name, with its default options."""
    model: tuple[str, ...] = MODEL
    """Settings of every training, `section.key=value`."""
    cost_sizes: tuple[int, ...] = (1_000, 8_000, 50_000)
    """Codes with which a step is measured."""
    cost_steps: int = 5
    cost_symbols: int = 512
    """Symbols in such a step."""
    most_bytes: int | None = 1_000_000

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "steps", "cost_steps", "cost_symbols")
        if self.vocab_size < SMALLEST:
            raise GqvaeError(f"vocab_size must be at least {SMALLEST}, not {self.vocab_size}")
        different(self, "arms", "cost_sizes")
        Config().override(self.model)  # what no training would take is told now
        known = [*ARMS, *(name for name in names() if name not in ARMS)]
        for arm in self.arms:
            if arm not in known:
                raise GqvaeError(f"arms: there is no {arm!r}; there are: {', '.join(known)}")
        if any(size < 1 for size in self.cost_sizes):
            raise GqvaeError("cost_sizes must be positive")


def arm(key: str) -> Arm:
    """The arm of that key in the table, or else the quantizer of that name."""
    return ARMS.get(key) or Arm(key, (f"quantizer.name={key}",))
