"""The language-model probe: a small Llama learns a tokenizer's ids, and is judged in bits per raw byte.

What is the same for every tokenizer: the documents and their order, the bytes of text in a step and in a context (so
the tokens differ), the model but for its embedding, the optimiser. The learning rate stays constant and a running
average of the weights is what is measured, so that each point of a curve is the end of a training of that length.

Shapes: R rows of a batch, L tokens of context, S ids of the shuffled text.
"""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM

from gqvae.errors import GqvaeError
from gqvae.reproduce.encoded import Encoded
from gqvae.reproduce.settings import ProbeSettings

IGNORED = -100
"""Target of a place that is not scored (what `cross_entropy` leaves out)."""
SCORED_ROWS = 16
"""Windows of held-out text scored at once."""


@dataclass(frozen=True)
class Shape:
    """One tokenizer's share of the probe: the same bytes of context, batch and training for all, up to whole tokens."""

    context: int
    """L"""
    rows: int
    """R"""
    steps: int
    bytes_per_id: float
    """Bytes of the training text over its ids, separators included."""

    @classmethod
    def of(cls, text: Encoded, settings: ProbeSettings) -> "Shape":
        ids = text.tokens + len(text.documents)
        bytes_per_id = text.bytes / ids
        context = max(2, round(settings.context_bytes / bytes_per_id))
        rows = settings.batch_bytes // settings.context_bytes
        return cls(context, rows, max(1, round(settings.epochs * ids / (rows * context))), bytes_per_id)

    @property
    def batch(self) -> int:
        """Ids predicted in a step."""
        return self.rows * self.context


def run_probe(text: Encoded, judged: Encoded, settings: ProbeSettings, seed: int) -> dict[str, Any]:
    """Train one model on `text` and score `judged` along the way.

    Returns its sizes and `points`, each with step, bytes and tokens seen, training FLOPs, `bits_per_byte` (nats of the
    tokens of the held-out documents over ln 2 times their raw bytes; every token scored once, each document from its
    own beginning) and `separator_bits`, what telling the ends of the documents costs besides. Raises GqvaeError for
    documents without text, and when the loss is not finite.
    """
    if not (text.tokens and judged.tokens):
        raise GqvaeError("the language-model probe needs text to train on and text to judge by")
    shape = Shape.of(text, settings)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(seed)
    separator = text.vocab_size  # an id beyond the tokenizer's own
    model = new_model(separator + 1, shape.context, settings).to(device)
    averaged = copy.deepcopy(model)
    windows = judged_windows(judged, separator, shape.context)
    measured_at = measuring_steps(shape.steps, settings.points)
    points = []
    for step in train(model, batches(text, separator, shape, seed), shape.steps, settings):
        average(averaged, model, step)
        if step in measured_at:
            nats, separator_nats = score(averaged, windows, separator)
            tokens = step * shape.batch
            points.append(
                {
                    "step": step,
                    "bytes": round(tokens * shape.bytes_per_id),
                    "tokens": tokens,
                    "flops": float(tokens * flops_per_token(model, shape.context)),
                    "bits_per_byte": nats / (math.log(2) * judged.bytes),
                    "separator_bits": separator_nats / (math.log(2) * judged.bytes),
                }
            )
    return {
        "seed": seed,
        "parameters": model.num_parameters(),
        "embedding_parameters": model.get_input_embeddings().weight.numel(),
        "context_tokens": shape.context,
        "batch_tokens": shape.batch,
        "points": points,
    }


def new_model(ids: int, context: int, settings: ProbeSettings) -> LlamaForCausalLM:
    """A Llama with random weights, its input embedding also its output layer."""
    config = LlamaConfig(
        vocab_size=ids,
        hidden_size=settings.width,
        intermediate_size=32 * round(settings.width * 8 / 3 / 32),
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        use_cache=False,
    )
    return LlamaForCausalLM(config)


def flops_per_token(model: LlamaForCausalLM, context: int) -> int:
    """Training FLOPs a token: 6 for each weight of a matrix product (the embedding once, as output layer), and 6 for
    each layer, width and token of context, for causal attention (Chowdhery et al. 2022, arXiv 2204.02311, appendix B,
    halved, as the future is masked)."""
    weights: int = sum(parameter.numel() for parameter in model.parameters() if parameter.ndim == 2)
    attention: int = model.config.num_hidden_layers * model.config.hidden_size * context
    return 6 * (weights + attention)


def measuring_steps(steps: int, points: int) -> set[int]:
    """About `points` steps, each longer than the one before by the same factor, from a tenth of the training to its
    end.

    >>> sorted(measuring_steps(1000, 3))
    [100, 316, 1000]
    """
    first = max(1, steps // 10)
    return {steps, *(round(first * (steps / first) ** (n / max(1, points - 1))) for n in range(points - 1))}


def shuffled(text: Encoded, separator: int, seed: int, epoch: int) -> Tensor:
    """(S,) all documents, each after a separator, in the order that seed and epoch give."""
    order = numpy.random.default_rng([seed, epoch]).permutation(len(text.documents))
    mark = numpy.array([separator])
    return torch.from_numpy(numpy.concatenate([part for index in order for part in (mark, text.documents[index])]))


def batches(text: Encoded, separator: int, shape: Shape, seed: int) -> Iterator[Tensor]:
    """Yield (R, L + 1) ids without end, epoch after epoch. The last id of a row is the first of the next, so that each
    is predicted once; the rest that does not fill a batch is left out, other documents in each epoch."""
    epoch = 0
    while True:
        stream = shuffled(text, separator, seed, epoch)
        while len(stream) <= shape.batch:  # a text of less than a batch
            epoch += 1
            stream = torch.cat([stream, shuffled(text, separator, seed, epoch)])
        for start in range(0, len(stream) - shape.batch, shape.batch):
            yield stream[start : start + shape.batch + 1].unfold(0, shape.context + 1, shape.context)
        epoch += 1


def train(model: LlamaForCausalLM, batches: Iterator[Tensor], steps: int, settings: ProbeSettings) -> Iterator[int]:
    """Yield the number of each step when it is done. Raises GqvaeError when the loss is not finite."""
    optimizer = torch.optim.AdamW(
        model.parameters(), settings.learning_rate, betas=(0.9, 0.95), weight_decay=settings.weight_decay
    )
    slow = settings.warmup_steps + 1
    warmup = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / slow))
    for step, batch in zip(range(1, steps + 1), batches, strict=False):
        rows = batch.to(model.device)
        loss = F.cross_entropy(model(rows[:, :-1]).logits.flatten(0, 1), rows[:, 1:].flatten())
        if not torch.isfinite(loss):
            raise GqvaeError(f"the probe's loss is {loss.item()} at step {step}: try a smaller probe.learning_rate")
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        warmup.step()
        yield step


@torch.no_grad()
def average(averaged: nn.Module, model: nn.Module, step: int) -> None:
    """Move the running average: over about the last tenth of the steps so far."""
    share = 1 / (1 + step / 10)
    for mean, weight in zip(averaged.parameters(), model.parameters(), strict=True):
        mean.lerp_(weight, share)


def judged_windows(text: Encoded, separator: int, context: int) -> list[Tensor]:
    """Batches of at most (SCORED_ROWS, L + 1): every document by itself, separator to separator, in windows that
    overlap by the one id that the next prediction needs. Short windows are filled up with IGNORED."""
    mark = torch.tensor([separator])
    rows: list[Tensor] = []
    for document in text.documents:
        line = torch.cat([mark, torch.from_numpy(document), mark])
        rows += [line[start : start + context + 1] for start in range(0, len(line) - 1, context)]
    rows.sort(key=len)
    groups = [rows[start : start + SCORED_ROWS] for start in range(0, len(rows), SCORED_ROWS)]
    return [nn.utils.rnn.pad_sequence(group, batch_first=True, padding_value=IGNORED) for group in groups]


@torch.no_grad()
def score(model: LlamaForCausalLM, windows: Sequence[Tensor], separator: int) -> tuple[float, float]:
    """Nats of all tokens, and of all separators."""
    nats = separators = 0.0
    for window in windows:
        rows = window.to(model.device)
        wanted = rows[:, 1:].flatten()
        logits = model(rows[:, :-1].clamp(min=0)).logits  # padding is at the end: no scored position attends to it
        costs = F.cross_entropy(logits.flatten(0, 1), wanted, ignore_index=IGNORED, reduction="none").double()
        ends = wanted == separator
        separators += costs[ends].sum().item()
        nats += costs[~ends].sum().item()
    return nats, separators
