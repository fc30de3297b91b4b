"""Giving codes that do not earn their place to the spans that would save most tokens.

The paper sets dead codes again from a reservoir of the latents with the largest reconstruction error. Under the
marginal objective the error that is left is the price of tokens: two neighbouring tokens that could have been one, or a
span no code spells. Both are counted in a segmentation (`gqvae.needs`) into the fewest strings that the codebook
stands for; a code moves to the latents where such a span ends, and its decoder is held to that span until it
says it (`Lexicon.unsaid`). What saves more takes the place of what saves less. Codes that cannot move, as those of a
grid, stay where they are: of those that save least, one near these latents gets the span for its string.

The segmentation that is counted is not the network's own but what its codebook makes possible: a code for a rare string
is worth something from the moment it can say it, before the encoder has learned to find it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from gqvae.learn.data import Sample
from gqvae.learn.lexicon import Lexicon
from gqvae.learn.model import GQVAE
from gqvae.learn.quantizers import Quantizer
from gqvae.learn.segmenter import encode
from gqvae.needs import Segmentation, fewest_tokens, neediest, needs, runs, usage, worths

MARGIN = 1.3
"""How much more a span must save than the code it displaces: what was measured is a little stale."""
BEYOND = 1.02
"""How far the codebook reaches beyond a target: the network does not find all that is possible, and the price takes
back what is too much."""
OCCURRENCES = 8
"""Times that a span occurs whose latents are averaged for the place of a code."""
NOISE = 0.3
"""Added to a placed code, relative to the spread of latents: it must not coincide with the code already there."""
MATCHED = 2_048
"""Strings matched to codes at once: time grows with the cube."""


@dataclass(frozen=True)
class Move:
    """A code that changes its string."""

    code: int
    string: str


def plan(
    strings: Sequence[str], tokenized: Segmentation, emitted: Sequence[float], longest: int, most: int,
    enough: float = math.inf,
) -> list[Move]:  # fmt: skip
    """At most `most` moves, the poorest code to the neediest span, while that pays.

    Args:
        strings: of the V codes.
        tokenized: the spans of each pretoken, and its weight.
        emitted: how often each code stood for a span, for the choice between codes of one string.
        enough: tokens saved after which only single symbols are still wanted: without them nothing is spelled.
    """
    value = worths(usage(tokenized), set(strings), longest)
    owner: dict[str, int] = {}
    for code in sorted(range(len(strings)), key=lambda code: (-emitted[code], code)):
        owner.setdefault(strings[code], code)
    # a second code of the same string is worth nothing
    values = [value[string] if owner[string] == code else 0.0 for code, string in enumerate(strings)]
    poorest = sorted(range(len(values)), key=lambda code: (values[code], code))[:most]
    wanted = needs(tokenized, owner, longest)
    moves: list[Move] = []
    saved = 0.0
    for code, span in zip(poorest, neediest(wanted), strict=False):
        single = len(span) == 1
        if wanted[span] >= MARGIN * values[code] and (single or saved < enough):
            moves.append(Move(code, span))
            saved += 0.0 if single else wanted[span] - values[code]
    return moves


def exchange(
    model: GQVAE, lexicon: Lexicon | None, sample: Sample, usage: Sequence[float], share: float,
    generator: torch.Generator, target: float | None = None,
) -> Lexicon:  # fmt: skip
    """Move at most `share` of the codes; returns what the codes stand for now.

    Args:
        lexicon: what they stood for; None at the start: what the decoder makes of them.
        sample: the pretokens that the segmentation is counted on.
        usage: how much each code was used in training since the last round: of codes that spell the same, the most
            used one keeps its string.
        target: bytes per token beyond which codes need not reach.
    """
    quantizer, longest = model.quantizer, model.longest
    with torch.no_grad():
        decoded = model.decode_codebook().strings()
    strings = decoded if lexicon is None else lexicon.strings()
    if most := int(share * quantizer.size):
        tokenized = fewest_tokens(sample.weighted(), strings, longest)
        moves = plan(strings, tokenized, usage, longest, most, _missing(sample, tokenized, target))
        if moves:
            latents = mean_latents(model, [move.string for move in moves], tokenized, longest).to(quantizer.device)
            if quantizer.movable:
                _place(quantizer, moves, latents, generator)
            else:
                moves = match(quantizer, moves, latents)
            moved = {move.code: move.string for move in moves}
            strings = [moved.get(code, string) for code, string in enumerate(strings)]
    return Lexicon.of(strings, decoded, longest, quantizer.device)


def read(model: GQVAE) -> Lexicon:
    """What the codes stand for where none is moved: what the decoder makes of them now."""
    with torch.no_grad():
        decoded = model.decode_codebook().strings()
    return Lexicon.of(decoded, decoded, model.longest, model.quantizer.device)


def _missing(sample: Sample, tokenized: Segmentation, target: float | None) -> float:
    """Tokens to save before the codebook reaches far enough for the target; without one, as many as can be."""
    if target is None:
        return math.inf
    return sum(weight * len(tokens) for tokens, weight in tokenized) - sample.bytes / (BEYOND * target)


@torch.no_grad()
def mean_latents(model: GQVAE, strings: Sequence[str], tokenized: Segmentation, longest: int) -> Tensor:
    """(P, D): the mean latent where each string ends, over the first `OCCURRENCES` times that it is a token or a run
    of tokens; each string must be so once at least."""
    row_of = {string: row for row, string in enumerate(strings)}
    found = [0] * len(strings)
    pieces: list[str] = []
    places: list[tuple[int, int, int, float]] = []  # piece, position, row, weight
    for tokens, weight in tokenized:
        end, before = 0, len(places)
        for last, token in enumerate(tokens):
            end += len(token)
            for span in (token, *(span for _, span in runs(tokens, last, longest))):
                row = row_of.get(span)
                if row is not None and found[row] < OCCURRENCES:
                    found[row] += 1
                    places.append((len(pieces), end - 1, row, weight))
        if len(places) > before:
            pieces.append("".join(tokens))
    latents = encode(model, pieces)
    sums = torch.zeros(len(strings), latents[0].shape[-1])
    totals = torch.zeros(len(strings), 1)
    for piece, position, row, weight in places:
        sums[row] += weight * latents[piece][position]
        totals[row] += weight
    return sums / totals


def _place(quantizer: Quantizer, moves: Sequence[Move], latents: Tensor, generator: torch.Generator) -> None:
    spread = latents.std() if latents.numel() > 1 else torch.ones(())
    noise = torch.randn(latents.shape, generator=generator)
    rows = torch.tensor([move.code for move in moves], device=quantizer.device)
    quantizer.replace(rows, latents + NOISE * spread * noise.to(latents.device))


@torch.no_grad()
def match(quantizer: Quantizer, moves: Sequence[Move], latents: Tensor) -> list[Move]:
    """The same codes and the same strings, each string to a code near its latent, for codes that cannot move.

    All strings together lie as near as can be: an assignment problem, in parts of at most `MATCHED`.
    """
    projected = quantizer.project(latents)
    matched: list[Move] = []
    for start in range(0, len(moves), MATCHED):
        part = moves[start : start + MATCHED]
        codes = torch.tensor([move.code for move in part], device=latents.device)
        nearness = quantizer.similarity(projected[start : start + MATCHED])[:, codes]
        strings, places = linear_sum_assignment(nearness.cpu().numpy(), maximize=True)
        matched += [Move(part[place].code, part[string].string) for string, place in zip(strings, places, strict=True)]
    return matched
