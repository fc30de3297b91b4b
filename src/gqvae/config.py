"""Everything that decides a run, in frozen dataclasses; unknown keys are refused. Named starting points: `presets`.

>>> config = Config().override(["training.steps=20", "objective.price=5"])
>>> config.training.steps, config.objective.price
(20, 5.0)
"""

from dataclasses import dataclass, field
from typing import Literal

from gqvae.errors import GqvaeError
from gqvae.patterns import PATTERNS
from gqvae.settings import Settings, at_most, not_negative, one_of, positive, share
from gqvae.vocabulary import END_OF_TEXT, MAX_IDS

SPECIALS = (END_OF_TEXT,)
SMALLEST = 256 + len(SPECIALS) + 1
"""Ids of the smallest vocabulary: all bytes, the specials, one learned string."""
LARGEST_BASE = 0xD800
"""Most tokens of a base: each is a character, and this is the first that is none, a surrogate."""
WIDEST, DEEPEST, MOST = 1 << 16, 1_000, 1 << 31
"""Bounds on widths and windows, on layers and threads, and on all that is counted while training."""


@dataclass(frozen=True, kw_only=True)
class PretokenConfig:
    """How text is cut before the model sees it."""

    pattern: str = "gpt2"
    """Name of a pattern in `gqvae.patterns.PATTERNS`."""
    base: str | None = None
    """A tokenizer (folder or bundled name) whose tokens the model reads instead of bytes: a stacked GQ-VAE. `words:N`
    trains one of N ids inside words first."""
    window: int = 16
    """Longest pretoken the model reads, in symbols: bytes (the paper's T; longer ones are cut at characters), or tokens
    of the base."""
    held_out: float = 0.05
    """Share of documents (by hash) kept from training to measure on."""

    def __post_init__(self) -> None:
        one_of(self, "pattern", tuple(PATTERNS))
        if self.words is not None and not SMALLEST <= self.words <= LARGEST_BASE:
            raise GqvaeError(f"base: words:N needs {SMALLEST} to {LARGEST_BASE} ids, not {self.words}")
        positive(self, "window")
        at_most(self, WIDEST, "window")
        share(self, "held_out")

    @property
    def words(self) -> int | None:
        """Ids of the base that is trained first; None if it is given, or there is none."""
        kind, _, size = (self.base or "").partition(":")
        return int(size) if kind == "words" and size.isascii() and size.isdecimal() and len(size) < 10 else None

    @property
    def given_base(self) -> str | None:
        """The base, if it is there before the training."""
        return self.base if self.words is None else None


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Sizes of the autoencoder (spec: paper section 3, figures 1 and 2)."""

    width: int = 128
    """D, of the latents, the encoder and the gater."""
    heads: int = 4
    encoder_layers: int = 2
    gater_layers: int = 1
    gater_channels: int = 32
    """Channels between the gater's convolutions."""
    decoder_layers: int = 2
    decoder_width: int = 256
    character_width: int = 64
    """Width of one character slot of the decoder before its 256 logits."""
    longest_token: int = 12
    """K: a code stands for at most this many symbols."""

    def __post_init__(self) -> None:
        positive(self, "width", "heads", "decoder_width", "character_width", "gater_channels", "longest_token")
        positive(self, "encoder_layers", "decoder_layers")
        not_negative(self, "gater_layers")
        at_most(self, WIDEST, "width", "decoder_width", "character_width", "gater_channels")
        at_most(self, DEEPEST, "encoder_layers", "gater_layers", "decoder_layers")
        if self.longest_token > 255:
            raise GqvaeError("longest_token: a token has at most 255 bytes")
        if self.width % self.heads:
            raise GqvaeError(f"width ({self.width}) must be a multiple of heads ({self.heads})")


@dataclass(frozen=True, kw_only=True)
class QuantizerConfig:
    """The codebook."""

    name: str = "cosine"
    """`gqvae train --quantizer help` lists them."""
    options: dict[str, str] = field(default_factory=dict)
    """Settings of that quantizer alone, as text; it knows which there are (`gqvae.learn.quantizers.registry`)."""
    codes: int | None = None
    """V. None: what the vocabulary size leaves after bytes and specials, plus the bytes the text uses. A
    quantizer whose codes are combinations has at least so many."""
    code_width: int = 32
    """d of the low-dimensional quantizers; `gradient` works in the model's width."""
    candidates: int = 4
    """How many of the nearest codes are considered for each span besides the one that spells it, by the marginal
    objective and the viterbi segmenter."""
    commitment: float = 0.25
    """gates: beta, weight of the term that moves the encoder to the codes."""
    warmup_steps: int = 100
    """First steps run without quantization; their latents start the codes."""
    start: Literal["latents", "kmeans"] = "latents"
    """How they do: some of them at random, or the centres of all."""
    revive_every: int = 50
    """Steps between replacements of codes that do not earn their place."""
    revive_until: float = 0.85
    """Share of training after which the codebook is left to settle."""
    revive_share: float = 0.25
    """Largest share of the codebook replaced at once."""
    revival: Literal["needs", "reservoir", "none"] = "needs"
    """needs: codes go to the spans the segmentation pays most for, or, where codes cannot move one by one, stand for
    them from where they are; reservoir: the paper's farthest latents; none: nothing of this."""
    reservoir_size: int = 32_768
    reservoir_per_step: int = 512

    def __post_init__(self) -> None:
        if self.codes is not None:
            positive(self, "codes")
        not_negative(self, "commitment", "warmup_steps")
        positive(self, "code_width", "candidates", "revive_every", "reservoir_size", "reservoir_per_step")
        at_most(self, MAX_IDS, "codes", "code_width", "candidates")
        at_most(self, MOST, "warmup_steps", "revive_every", "reservoir_size", "reservoir_per_step")
        share(self, "revive_until", "revive_share")
        one_of(self, "start", ("latents", "kmeans"))
        one_of(self, "revival", ("needs", "reservoir", "none"))


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """What is minimised (formulas: `gqvae.learn.segments`, `gqvae.learn.objectives`)."""

    name: Literal["marginal", "gates"] = "marginal"
    price: float = 4.0
    """Nats a token costs (lambda), in the marginal objective and the viterbi segmenter; with a target, at first."""
    target_bytes_per_token: float | None = None
    """marginal: move the price until the network gives this compression (`gqvae.learn.rate`)."""
    reconstruction: tuple[float, float] = (1.0, 6.0)
    """marginal: weight of reconstruction against the price, at the start and at the end of its ramp."""
    ramp: tuple[float, float] = (0.15, 0.70)
    """marginal: the shares of training between which the weight rises."""
    alpha: float = 2.5
    """gates: weight of the mean gate (the paper's 2 to 3)."""
    target_rate: float | None = None
    """gates: instead of alpha, hold the mean gate at this rate by a squared penalty."""
    rate_weight: float = 10.0
    """gates: weight of that penalty."""
    length_weight: float = 1.0
    """gates: gamma, weight of the length loss."""

    def __post_init__(self) -> None:
        one_of(self, "name", ("marginal", "gates"))
        not_negative(self, "price", "alpha", "rate_weight", "length_weight")
        if self.target_rate is not None:
            share(self, "target_rate")
            if self.name != "gates":
                raise GqvaeError("target_rate is of no effect without name=gates")
        if min(self.reconstruction) <= 0 or not 0 <= self.ramp[0] <= self.ramp[1] <= 1:
            raise GqvaeError("reconstruction must be positive, ramp two rising shares of training")
        self._check_target()

    def _check_target(self) -> None:
        target = self.target_bytes_per_token
        if target is None:
            return
        if self.name != "marginal":
            raise GqvaeError(f"target_bytes_per_token needs name=marginal: {self.name} has no price of a token to move")
        if target <= 1:
            raise GqvaeError(f"target_bytes_per_token must be more than 1 (single bytes), not {target}")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Optimisation. Batches are counted in symbols (bytes, or tokens of a base), since there is no padding to count."""

    steps: int = 1_000
    batch_symbols: int = 2_048
    learning_rate: float = 2e-3
    codebook_learning_rate: float = 1.0
    """Multiple of the learning rate used for codes that the gradient moves (the paper: 10)."""
    final_learning_rate: float = 0.05
    """Share of the learning rate left at the end of the cosine."""
    warmup_steps: int = 50
    weight_decay: float = 1e-4
    clip: float = 1.0
    """Largest gradient norm."""
    amsgrad: bool = False
    count_exponent: float = 0.75
    """Pretokens are sampled by count to this power."""
    sample_pretokens: int = 65_536
    """Most distinct pretokens that the needs of a segmentation are counted on; of more, a weighted sample."""
    log_every: int = 50
    checkpoint_every: int = 100
    threads: int = 0
    """Torch threads; 0 leaves torch's choice."""
    precision: str = "32-true"
    """32-true | bf16-mixed, as Fabric names them; the reported figures use 32-true."""
    compile: bool = False
    """Have torch compile attention and decoder: a minute or so, for long runs."""
    accelerator: str = "auto"
    """auto | cpu | cuda | mps"""

    def __post_init__(self) -> None:
        one_of(self, "precision", ("32-true", "bf16-mixed"))
        one_of(self, "accelerator", ("auto", "cpu", "cuda", "mps"))
        not_negative(self, "warmup_steps", "weight_decay", "threads", "count_exponent")
        positive(self, "codebook_learning_rate", "clip")
        share(self, "final_learning_rate")
        positive(self, "steps", "batch_symbols", "learning_rate", "sample_pretokens", "log_every", "checkpoint_every")
        at_most(self, DEEPEST, "threads")
        at_most(
            self, MOST, "steps", "warmup_steps", "batch_symbols", "sample_pretokens", "log_every", "checkpoint_every"
        )


@dataclass(frozen=True, kw_only=True)
class Config(Settings):
    """One run, complete: with the corpus, it determines every id."""

    vocab_size: int | None = 1_024
    """Ids of the finished tokenizer, 256 bytes and specials included; None: as many as the codes give.
    With a target for the compression, at most so many."""
    seed: int = 0
    pretokens: PretokenConfig = field(default_factory=PretokenConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    quantizer: QuantizerConfig = field(default_factory=QuantizerConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**63:
            raise GqvaeError(f"seed must lie between 0 and 2**63 - 1, not {self.seed}")
        if self.vocab_size is not None and self.vocab_size < SMALLEST:
            raise GqvaeError(f"vocab_size must be at least {SMALLEST} (256 bytes, specials, one learned string)")
        at_most(self, MAX_IDS, "vocab_size")
        if self.vocab_size is None and self.quantizer.codes is None:
            raise GqvaeError("set vocab_size or quantizer.codes: one of them must say how many codes to learn")
        if self.model.longest_token > self.pretokens.window:
            raise GqvaeError("model.longest_token cannot exceed pretokens.window")

    def codes(self, used_bytes: int) -> int:
        """V: as configured, or what the vocabulary leaves after bytes and specials, plus the bytes that the text uses.

        Single bytes are codes like any other, so that the network can spell everything; in the vocabulary they
        coincide with the 256 bytes that are there anyway.
        """
        if self.quantizer.codes is not None:
            return self.quantizer.codes
        assert self.vocab_size is not None
        return self.vocab_size - 256 - len(SPECIALS) + used_bytes
