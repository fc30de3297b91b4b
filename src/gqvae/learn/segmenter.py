"""The network as a segmenter: pretokens -> tokens, each with the code that stands for it.

Two ways to place the ends of tokens, and every figure says which one made it:

- `gates`, the paper's: a token ends where the gater says so from the quantized vectors, and is the nearest code.
- `viterbi`: encoding knows the text, so the same dynamic programme that trains the model finds the cheapest
  segmentation, each span spelled by the best of the nearest few codes and the one that says just that.

Either may emit a code whose string is not the span (not exact); the tokenizer then spells the span by other strings.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gqvae.learn.data import Sample, as_tensor, by_length
from gqvae.learn.lexicon import Lexicon
from gqvae.learn.model import GQVAE, candidate_span_costs
from gqvae.learn.segments import best_lengths, ends_from_lengths, open_lengths

Mode = Literal["gates", "viterbi"]
BATCH_SYMBOLS, GPU_BATCH_SYMBOLS = 8_192, 32_768
"""On a CPU no more, so that what a layer gives is a block that glibc keeps, not one whose pages are taken anew."""


@dataclass(frozen=True, slots=True)
class Segmented:
    """One pretoken: where its tokens end, and their codes."""

    ends: list[int]
    codes: list[int]

    def spans(self, piece: str) -> list[str]:
        return [piece[start:end] for start, end in zip([0, *self.ends], self.ends, strict=False)]


class NeuralSegmenter:
    """A trained model, frozen, and its codebook, decoded once.

    Args:
        weight: of reconstruction against `price` (nats a token), as at the end of training.
        candidates: nearest codes considered by `viterbi`, besides the one that spells the span.
        allowed: if given, only codes whose string it allows are emitted.
    """

    def __init__(
        self, model: GQVAE, *, mode: Mode, price: float, weight: float, candidates: int,
        allowed: Callable[[str], bool] | None = None,
    ) -> None:  # fmt: skip
        self.model, self.mode, self.price, self.weight = model, mode, price, weight
        self.count = candidates
        with torch.no_grad():
            self.codebook = model.decode_codebook()
        self.strings = self.codebook.strings()
        self.lexicon = Lexicon.of(self.strings, self.strings, model.longest, self.codebook.lengths.device)
        self.cost = self.codebook.costs()
        first = {string: code for code, string in reversed(list(enumerate(self.strings)))}
        # (V,): of the codes that say the same, the one that is looked up
        self.first = torch.tensor([first[string] for string in self.strings], device=self.cost.device)
        self.allowed: Tensor | None = None
        if allowed is not None:
            self.allowed = torch.tensor(list(map(allowed, self.strings)), device=self.codebook.lengths.device)

    @torch.no_grad()
    def segment(self, pieces: Sequence[str]) -> list[Segmented]:
        """Segment distinct pretokens, none longer than the model's window; one `Segmented` each, in order."""
        results: list[Segmented | None] = [None] * len(pieces)
        for indices, batch in _batches(pieces, self.codebook.lengths.device):
            lengths, codes = (self._viterbi if self.mode == "viterbi" else self._gates)(batch, self.model.encode(batch))
            for index, row_lengths, row_codes in zip(indices, lengths.tolist(), codes.tolist(), strict=True):
                ends = ends_from_lengths(row_lengths)
                results[index] = Segmented(ends, [row_codes[end - 1] for end in ends])
        return [result for result in results if result is not None]

    @torch.no_grad()
    def spans(self, pieces: Sequence[str]) -> Iterator[tuple[list[int], Tensor, Tensor]]:
        """Batches of pieces of one length T: their indices, what each span scores but for the price, and whether the
        code that would stand for it spells it exactly (B, T, min(K, T))."""
        for indices, batch in _batches(pieces, self.codebook.lengths.device):
            exact = self._exact(batch)
            scores, codes = self._spelled(batch, self.model.encode(batch), exact)
            yield indices, scores, self.first[codes] == exact

    def _spelled(self, pretokens: Tensor, latents: Tensor, exact: Tensor) -> tuple[Tensor, Tensor]:
        """What each span scores but for the price, and the code that stands for it, both (B, T, min(K, T))."""
        candidates = self.model.quantizer.candidates(latents, self.count, self.allowed, exact)
        reach = exact.shape[-1]
        nearest, log_probs = candidates.indices[..., :-reach], candidates.log_probs
        costs = candidate_span_costs(self.codebook, nearest, pretokens)
        scores, winners = (log_probs[..., :-reach, None] - self.weight * costs).max(2)
        # the exact code is of use to its own span alone, and what it costs to say that is known
        said = log_probs[..., -reach:] - self.weight * self.cost[exact]
        codes = torch.where(said > scores, exact, nearest.gather(-1, winners))
        return torch.maximum(said, scores), codes

    def _exact(self, pretokens: Tensor) -> Tensor:
        """The code that spells each span (B, T, min(K, T)), -1 where none does: found however far from the latent."""
        exact = self.lexicon.look_up(pretokens)[..., : pretokens.shape[1]]
        return exact if self.allowed is None else torch.where(self.allowed[exact], exact, -1)

    def _viterbi(self, pretokens: Tensor, latents: Tensor) -> tuple[Tensor, Tensor]:
        scores, codes = self._spelled(pretokens, latents, self._exact(pretokens))
        lengths = best_lengths(scores - self.price)
        return lengths, codes.gather(-1, lengths[..., None] - 1)[..., 0]

    def _gates(self, pretokens: Tensor, latents: Tensor) -> tuple[Tensor, Tensor]:
        codes = self.model.quantizer.nearest(latents, self.allowed)
        gates = self.model.gate(self.model.quantizer.vectors(codes)) > 0
        open_, _ = open_lengths(gates.to(latents.dtype), self.model.longest)
        # with 0/1 gates the open token has one certain length, which is what Viterbi's table holds at the ends
        return open_.argmax(-1) + 1, codes


@torch.no_grad()
def encode(model: GQVAE, pieces: Sequence[str]) -> list[Tensor]:
    """The latents (T, D) of each pretoken, on the CPU."""
    latents: dict[int, Tensor] = {}
    for indices, batch in _batches(pieces, model.quantizer.device):
        latents |= zip(indices, model.encode(batch).cpu(), strict=True)
    return [latents[index] for index in range(len(pieces))]


def _batches(pieces: Sequence[str], device: torch.device) -> Iterator[tuple[list[int], Tensor]]:
    """Batches of pieces of one length, with their indices."""
    symbols = BATCH_SYMBOLS if device.type == "cpu" else GPU_BATCH_SYMBOLS
    for length, group in by_length(pieces).items():
        size = max(1, symbols // length)
        for start in range(0, len(group), size):
            indices = group[start : start + size]
            yield indices, as_tensor([pieces[i] for i in indices]).to(device)


@dataclass(frozen=True)
class Measures:
    """What a segmentation amounts to, every piece weighted by its occurrences."""

    bytes_per_token: float
    """Bytes for each emitted code, before any fallback."""
    exact_codes: float
    """Share of emitted codes whose string is the span they stand for."""
    codes_used: int
    perplexity: float
    """exp of the entropy of code use."""

    @classmethod
    def of(cls, sample: Sample, segmented: Sequence[Segmented], strings: Sequence[str]) -> "Measures":
        exact = 0.0
        usage: Counter[int] = Counter()
        for piece, weight, result in zip(sample.pieces, sample.weights, segmented, strict=True):
            for code, span in zip(result.codes, result.spans(piece), strict=True):
                usage[code] += weight  # type: ignore[assignment]
                exact += weight * (strings[code] == span)
        tokens = sum(usage.values())
        entropy = -sum(n / tokens * math.log(n / tokens) for n in usage.values())
        return cls(sample.bytes / tokens, exact / tokens, len(usage), math.exp(entropy))
