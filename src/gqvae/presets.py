"""Named starting points for a run."""

from gqvae.config import Config, ModelConfig, ObjectiveConfig, PretokenConfig, QuantizerConfig, TrainingConfig
from gqvae.errors import GqvaeError


def preset(name: str) -> Config:
    """A named starting point. Raises GqvaeError that lists the names."""
    try:
        return _PRESETS[name]()
    except KeyError:
        raise GqvaeError(f"unknown preset {name!r}; there are: {', '.join(_PRESETS)}") from None


def _tiny() -> Config:
    """Two CPU cores, minutes."""
    return Config()


def _superword() -> Config:
    """Two CPU cores, a quarter of an hour: tokens across words. A second GQ-VAE reads the tokens of a first one, in
    windows of 16 within a sentence, and its codes stand for up to 8 of them."""
    return Config(
        vocab_size=8_192,
        pretokens=PretokenConfig(pattern="sentence", base="words:2048", window=16),
        model=ModelConfig(longest_token=8),
        training=TrainingConfig(steps=700),
    )


def _small() -> Config:
    """One GPU, minutes."""
    return Config(
        vocab_size=8_192,
        model=ModelConfig(
            width=256, heads=8, encoder_layers=4, gater_layers=2, gater_channels=64, decoder_width=512, longest_token=16
        ),
        pretokens=PretokenConfig(window=32),
        quantizer=QuantizerConfig(warmup_steps=200),
        training=TrainingConfig(steps=6_000, batch_symbols=16_384, learning_rate=1e-3, warmup_steps=200),
    )


def _paper() -> Config:
    """The paper's sizes and steps [paper code], on bytes instead of ASCII. Warm-up begins at zero, not at a tenth, and
    weight decay is AdamW's."""
    return Config(
        vocab_size=None,
        model=ModelConfig(
            width=1_024,
            heads=16,
            encoder_layers=4,
            gater_layers=2,
            gater_channels=1_024,
            decoder_layers=4,
            decoder_width=1_024,
            character_width=256,
            longest_token=10,
        ),
        quantizer=QuantizerConfig(
            name="gradient",
            codes=50_000,
            candidates=1,
            warmup_steps=500,
            revive_every=250,
            revival="reservoir",
            reservoir_size=131_072,
            reservoir_per_step=2_500,
        ),
        objective=ObjectiveConfig(name="gates", alpha=3.0),
        training=TrainingConfig(
            steps=50_000,
            batch_symbols=4_096,
            learning_rate=1e-4,
            codebook_learning_rate=10.0,
            final_learning_rate=0.0,
            warmup_steps=1_000,
            amsgrad=True,
            log_every=250,
            checkpoint_every=1_000,
        ),
    )


_PRESETS = {"tiny": _tiny, "superword": _superword, "small": _small, "paper": _paper}
