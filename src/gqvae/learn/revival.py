"""Giving codes that do not earn their place to the spans that the segmentation pays most for.

The paper sets dead codes again from a reservoir of the latents with the largest reconstruction error. Under the
marginal objective the error that is left is the price of tokens: two neighbouring tokens that could have been one, or a
span no code spells. Both are counted in a segmentation (`gqvae.needs`); a code moves to the latents where such a
span ends, and its decoder is held to that span until the next round (`Pins`). What saves more takes the place of what
saves less.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gqvae.learn.data import Sample
from gqvae.learn.objectives import Pins
from gqvae.learn.quantizers import Quantizer
from gqvae.learn.segmenter import Segmented, Segmenter
from gqvae.needs import needs, runs, usage, worths

MARGIN = 1.3
"""How much more a span must save than the code it displaces: what was measured is a little stale."""
NOISE = 0.3
"""Added to a placed code, relative to the spread of latents: it must not coincide with the code already there."""


@dataclass(frozen=True)
class Move:
    """A code that changes its string."""

    code: int
    string: bytes


def plan(
    strings: Sequence[bytes], tokenized: Sequence[tuple[list[bytes], float]], emitted: dict[int, float], longest: int,
    most: int,
) -> list[Move]:  # fmt: skip
    """At most `most` moves, the poorest code to the neediest span, while that pays.

    Args:
        strings: of the V codes.
        tokenized: the spans of each pretoken, and its weight.
        emitted: how often each code stood for a span.
    """
    value = worths(usage(tokenized), set(strings), longest)
    owner: dict[bytes, int] = {}
    for code in sorted(range(len(strings)), key=lambda code: (-emitted.get(code, 0.0), code)):
        owner.setdefault(strings[code], code)
    # a second code of the same string is worth nothing
    values = [value[string] if owner[string] == code else 0.0 for code, string in enumerate(strings)]
    poorest = sorted(range(len(values)), key=lambda code: (values[code], code))[:most]
    wanted = needs(tokenized, owner, longest)
    neediest = sorted(wanted, key=lambda span: (-wanted[span], span))
    return [
        Move(code, span) for code, span in zip(poorest, neediest, strict=False) if wanted[span] >= MARGIN * values[code]
    ]


def exchange(segmenter: Segmenter, sample: Sample, share: float, generator: torch.Generator) -> Pins | None:
    """Segment the sample and move at most `share` of the codes; the pins hold until the next round."""
    segmented = segmenter.segment(sample.pieces, keep_latents=True)
    quantizer, longest = segmenter.model.quantizer, segmenter.model.longest
    tokenized, emitted = [], dict[int, float]()
    for piece, weight, result in zip(sample.pieces, sample.weights, segmented, strict=True):
        tokenized.append((result.spans(piece), weight))
        for code in result.codes:
            emitted[code] = emitted.get(code, 0.0) + weight
    moves = plan(segmenter.strings, tokenized, emitted, longest, max(1, int(share * quantizer.size)))
    if not moves:
        return None
    latents = mean_latents([move.string for move in moves], tokenized, segmented, longest)
    _place(quantizer, moves, latents, generator)
    return pins(moves, longest, quantizer.codes.device)


def mean_latents(
    strings: Sequence[bytes], tokenized: Sequence[tuple[list[bytes], float]], segmented: Sequence[Segmented],
    longest: int,
) -> Tensor:  # fmt: skip
    """(P, D): the mean latent at the ends of each string, where it is a token or a run of tokens."""
    row_of = {string: row for row, string in enumerate(strings)}
    sums: list[Tensor | float] = [0.0] * len(strings)
    totals = [0.0] * len(strings)
    for (tokens, weight), result in zip(tokenized, segmented, strict=True):
        assert result.latents is not None, "segment with keep_latents"
        for last, end in enumerate(result.ends):
            for span in (tokens[last], *(span for _, span in runs(tokens, last, longest))):
                if (row := row_of.get(span)) is not None:
                    sums[row] = sums[row] + weight * result.latents[end - 1]
                    totals[row] += weight
    return torch.stack([torch.as_tensor(total) / n for total, n in zip(sums, totals, strict=True)])


def pins(moves: Sequence[Move], longest: int, device: torch.device) -> Pins:
    """The moves as a target for the decoder."""
    backwards = torch.zeros(len(moves), longest, dtype=torch.long)
    for row, move in enumerate(moves):
        backwards[row, : len(move.string)] = torch.tensor(list(move.string[::-1]))
    lengths = torch.tensor([len(move.string) for move in moves])
    codes = torch.tensor([move.code for move in moves])
    return Pins(codes.to(device), backwards.to(device), lengths.to(device))


def _place(quantizer: Quantizer, moves: Sequence[Move], latents: Tensor, generator: torch.Generator) -> None:
    spread = latents.std() if latents.numel() > 1 else torch.ones(())
    noisy = latents + NOISE * spread * torch.randn(latents.shape, generator=generator)
    device = quantizer.codes.device
    quantizer.replace(torch.tensor([move.code for move in moves], device=device), noisy.to(device))
