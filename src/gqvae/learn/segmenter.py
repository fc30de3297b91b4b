"""The network as a segmenter: pretokens -> tokens, each with the code that stands for it.

Two ways to place the ends of tokens, and every figure says which one made it:

- `gates`, the paper's: a token ends where the gater says so from the quantized vectors, and is the nearest code.
- `viterbi`: encoding knows the text, so the same dynamic programme that trains the model finds the cheapest
  segmentation, each span spelled by the best of the nearest few codes.

Either may emit a code whose string is not the span (not exact); the tokenizer then spells the span by other strings.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gqvae.learn.data import as_tensor, by_length
from gqvae.learn.model import GQVAE, candidate_span_costs
from gqvae.learn.segments import best_lengths, ends_from_lengths, open_lengths

Mode = Literal["gates", "viterbi"]
BATCH_BYTES = 32_768


@dataclass(frozen=True, slots=True)
class Segmented:
    """One pretoken: where its tokens end, and their codes."""

    ends: list[int]
    codes: list[int]
    latents: Tensor | None
    """(T, D), if asked for."""

    def spans(self, piece: bytes) -> list[bytes]:
        return [piece[start:end] for start, end in zip([0, *self.ends], self.ends, strict=False)]


class Segmenter:
    """A trained model, frozen, and its codebook, decoded once.

    Args:
        weight: of reconstruction against `price` (nats a token), as at the end of training.
        candidates: nearest codes considered by `viterbi`.
        vocabulary: if given, only codes whose string is in it are emitted.
    """

    def __init__(
        self, model: GQVAE, *, mode: Mode, price: float, weight: float, candidates: int,
        vocabulary: Collection[bytes] | None = None,
    ) -> None:  # fmt: skip
        self.model, self.mode, self.price, self.weight = model, mode, price, weight
        self.count = candidates
        with torch.no_grad():
            self.codebook = model.decode_codebook()
        self.strings = self.codebook.strings()
        self.allowed: Tensor | None = None
        if vocabulary is not None:
            known = [string in vocabulary for string in self.strings]
            self.allowed = torch.tensor(known, device=self.codebook.lengths.device)

    @torch.no_grad()
    def segment(self, pieces: Sequence[bytes], keep_latents: bool = False) -> list[Segmented]:
        """Segment distinct pretokens, none longer than the model's window; one `Segmented` each, in order."""
        results: list[Segmented | None] = [None] * len(pieces)
        for length, group in by_length(pieces).items():
            size = max(1, BATCH_BYTES // length)
            for start in range(0, len(group), size):
                indices = group[start : start + size]
                batch = as_tensor([pieces[i] for i in indices]).to(self.codebook.lengths.device)
                for index, segmented in zip(indices, self._batch(batch, keep_latents), strict=True):
                    results[index] = segmented
        return [result for result in results if result is not None]

    def _batch(self, pretokens: Tensor, keep_latents: bool) -> Iterable[Segmented]:
        latents = self.model.encode(pretokens)
        lengths, codes = (self._viterbi if self.mode == "viterbi" else self._gates)(pretokens, latents)
        kept = latents.cpu() if keep_latents else None
        rows = zip(lengths.tolist(), codes.tolist(), strict=True)
        for row, (row_lengths, row_codes) in enumerate(rows):
            ends = ends_from_lengths(row_lengths)
            yield Segmented(ends, [row_codes[end - 1] for end in ends], None if kept is None else kept[row])

    def _viterbi(self, pretokens: Tensor, latents: Tensor) -> tuple[Tensor, Tensor]:
        candidates = self.model.quantizer.candidates(latents, self.count, self.allowed)
        costs = candidate_span_costs(self.codebook, candidates.indices, pretokens)
        edges = candidates.log_probs[..., None] - self.weight * costs - self.price
        scores, winners = edges.max(2)
        lengths = best_lengths(scores)
        chosen = winners.gather(-1, lengths[..., None] - 1)
        return lengths, candidates.indices.gather(-1, chosen)[..., 0]

    def _gates(self, pretokens: Tensor, latents: Tensor) -> tuple[Tensor, Tensor]:
        codes = self.model.quantizer.candidates(latents, 1, self.allowed).indices[..., 0]
        gates = self.model.gate(self.model.quantizer.vectors(codes)) > 0
        open_, _ = open_lengths(gates.to(latents.dtype), self.model.longest)
        # with 0/1 gates the open token has one certain length, which is what Viterbi's table holds at the ends
        return open_.argmax(-1) + 1, codes


@dataclass(frozen=True)
class Measures:
    """What a segmentation amounts to, every piece weighted by its occurrences."""

    bytes_per_token: float
    """Of emitted codes, before fallback."""
    exact_codes: float
    """Share of emitted codes whose string is the span they stand for."""
    codes_used: int
    perplexity: float
    """exp of the entropy of code use."""

    @classmethod
    def of(
        cls, pieces: Sequence[bytes], weights: Sequence[float], segmented: Sequence[Segmented], strings: Sequence[bytes]
    ) -> "Measures":  # fmt: skip
        exact = size = 0.0
        usage: Counter[int] = Counter()
        for piece, weight, result in zip(pieces, weights, segmented, strict=True):
            size += weight * len(piece)
            for code, span in zip(result.codes, result.spans(piece), strict=True):
                usage[code] += weight  # type: ignore[assignment]
                exact += weight * (strings[code] == span)
        tokens = sum(usage.values())
        entropy = -sum(n / tokens * math.log(n / tokens) for n in usage.values())
        return cls(size / tokens, exact / tokens, len(usage), math.exp(entropy))
