"""The nearest codes of latents, by exact search: a matrix product a tile, and never the whole table of (N, V).

A latent p has the logit p @ key + bias for each code, the largest for the nearest; in single precision under autocast
too, as near codes differ in the last digits. Shapes: N latents, V codes, M of them found, d the width in which they
are compared.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from gqvae.learn.linear import affine

CELLS, CODES = 1 << 20, 1_024
"""Logits of a tile, and its most codes. A processor's cache holds it: large enough for the matrix product (which is
slow on AMD's processors for fewer latents: `linear`), small enough for what follows it."""
GPU_CELLS, GPU_CODES = 1 << 26, 16_384
"""The same on a GPU, where small tiles would spend the time on starting their kernels."""
FEW_THREADS = 2
"""Up to which numpy, which has one, is faster at finding the place of a maximum."""
BLOCK = 64
"""Codes of which only the best is looked at first: torch finds a maximum several times faster than its place."""

Found = tuple[Tensor, Tensor]
"""Logits (rows, M), falling, and the codes they are of."""


@torch.no_grad()
def nearest(projected: Tensor, keys: Tensor, bias: Tensor, allowed: Tensor | None = None) -> Tensor:
    """(N, d) -> (N,): the nearest code of each latent, of equals the first.

    Args:
        keys: (V, d).
        bias: (V,).
        allowed: (V,) True for the codes that may be chosen; one must be.
    """
    with torch.autocast(projected.device.type, enabled=False):
        tiles = _Tiles(keys, bias, allowed)
        parts = torch.split(_latents(projected), tiles.rows)
        return torch.cat([_merged([_largest(*tile, 1) for tile in tiles.of(rows)], 1)[1] for rows in parts])[:, 0]


def nearest_few(
    projected: Tensor, keys: Tensor, bias: Tensor, count: int, allowed: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The `count` <= V nearest codes of each latent, nearest first, and what the softmax over all codes divides by.

    Returns:
        (N,) ln sum_v exp(logit_v), with a gradient; (N, count) codes: ones that are not allowed only where the others
        are too few.
    """
    log_total, codes = _Few.apply(projected, keys, bias, count, allowed)  # type: ignore[no-untyped-call]
    return log_total, codes


class _Tiles:
    """The codes, tile by tile.

    keys: (V padded to whole blocks, d + 1 + ones). Column d is the bias, which meets a 1 appended to each latent: to
    add it apart would take another pass through every tile. Padding and codes that are not allowed have bias -inf. Then
    as many columns of 1 as are asked for.
    """

    def __init__(self, keys: Tensor, bias: Tensor, allowed: Tensor | None, ones: int = 0) -> None:
        bias = bias if allowed is None else bias.masked_fill(~allowed, -torch.inf)
        missing = -len(keys) % BLOCK
        filled = F.pad(keys.float(), (0, 0, 0, missing)), F.pad(bias.float(), (0, missing), value=-torch.inf)[:, None]
        self.keys = F.pad(torch.cat(filled, 1), (0, ones), value=1)
        on_cpu = keys.device.type == "cpu"
        if on_cpu:
            _have_memory_kept()
        cells, codes = (CELLS, CODES) if on_cpu else (GPU_CELLS, GPU_CODES)
        self.codes = min(codes, len(self.keys))
        self.rows = cells // self.codes

    def of(self, rows: Tensor) -> Iterator[tuple[int, Tensor]]:
        """The first code of each tile, and its logits (rows, codes). rows: of `_latents`, as wide as the keys."""
        for start in range(0, len(self.keys), self.codes):
            yield start, affine(rows, self.keys[self.tile(start)])

    def tile(self, start: int) -> slice:
        return slice(start, start + self.codes)


def _latents(projected: Tensor) -> Tensor:
    """(N, d) -> (N, d + 1): a one behind each."""
    return F.pad(projected.float(), (0, 1), value=1)


@cache
def _have_memory_kept() -> None:
    """Else glibc gives the memory of a tile back and takes it anew for the next, page by page, which takes longer than
    the product: it keeps no more than twice the largest block, of 32 MB at most, that was ever freed."""
    torch.empty(8_000_000)


def _largest(start: int, logits: Tensor, count: int) -> Found:
    """The `count` largest logits of each row of a tile whose first code is `start`, and their codes."""
    count = min(count, logits.shape[1])
    if logits.device.type == "cpu" and torch.get_num_threads() <= FEW_THREADS:
        values, places = _one_by_one(logits, count)
        if not values[:, -1].isneginf().any():  # else the same code was found again, after all that are allowed
            return values, places + start
    return _in_best_blocks(start, logits, count)


def _one_by_one(logits: Tensor, count: int) -> Found:
    """The largest, then the largest but for that, and so on. The logits are as before at the end."""
    table, rows = logits.numpy(), numpy.arange(len(logits))
    values, places = numpy.empty((len(rows), count), table.dtype), numpy.empty((len(rows), count), numpy.int64)
    for rank in range(count):
        if rank:
            table[rows, places[:, rank - 1]] = -numpy.inf
        places[:, rank] = table.argmax(1)
        values[:, rank] = table[rows, places[:, rank]]
    for rank in reversed(range(count - 1)):
        table[rows, places[:, rank]] = values[:, rank]
    return torch.from_numpy(values), torch.from_numpy(places)


def _in_best_blocks(start: int, logits: Tensor, count: int) -> Found:
    """The same by blocks: the largest logits lie in the blocks with the largest maxima."""
    blocks = logits.view(len(logits), logits.shape[1] // BLOCK, BLOCK)
    if count == 1:
        value, block = blocks.amax(-1).max(-1)
        place = blocks[torch.arange(len(blocks), device=blocks.device), block].max(-1).indices
        return value[:, None], (start + block * BLOCK + place)[:, None]
    if blocks.shape[1] < 8 * count:
        values, places = logits.topk(count)
        return values, places + start
    best = _top(blocks.amax(-1), count)
    inside = blocks.gather(1, best[..., None].expand(-1, -1, BLOCK)).flatten(1)
    places = (best[..., None] * BLOCK + torch.arange(start, start + BLOCK, device=logits.device)).flatten(1)
    return _chosen(inside, places, count)


def _merged(found: list[Found], count: int) -> Found:
    """The largest of several tiles."""
    if len(found) == 1:
        return found[0]
    return _chosen(torch.cat([values for values, _ in found], 1), torch.cat([codes for _, codes in found], 1), count)


def _chosen(values: Tensor, places: Tensor, count: int) -> Found:
    best = _top(values, count)
    return values.gather(1, best), places.gather(1, best)


def _top(values: Tensor, count: int) -> Tensor:
    return values.argmax(-1, keepdim=True) if count == 1 else values.topk(count).indices


class _Few(torch.autograd.Function):
    """Autograd would keep five tables of (N, V), most of the memory and time of a step with a large codebook. This
    keeps none: going back computes each tile again, since the gradient of the sum is the softmax; the codes that matter
    take theirs by look-up."""

    @staticmethod
    def forward(
        ctx: Any, projected: Tensor, keys: Tensor, bias: Tensor, count: int, allowed: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        with torch.autocast(projected.device.type, enabled=False):
            tiles = _Tiles(keys, bias, allowed)
            parts = [_sum_and_largest(tiles, rows, count) for rows in torch.split(_latents(projected), tiles.rows)]
        log_total = torch.cat([total for total, _ in parts])
        codes = torch.cat([codes for _, codes in parts]).clamp_(max=len(keys) - 1)  # none of those that fill up
        ctx.save_for_backward(projected, keys, bias, log_total)
        ctx.allowed = allowed
        ctx.mark_non_differentiable(codes)
        return log_total, codes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        projected, keys, bias, log_total = ctx.saved_tensors
        with torch.autocast(projected.device.type, enabled=False):
            found = _gradients(projected, keys, bias, ctx.allowed, log_total, gradients[0])
        return *found, None, None


def _gradients(
    projected: Tensor, keys: Tensor, bias: Tensor, allowed: Tensor | None, log_total: Tensor, pull: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of sum(pull (N,) * log_total (N,)) for the first three arguments."""
    # passes through whole tiles take the time: with -log_total as one more column of the latents, the softmax weights
    # are a single exp of the product
    tiles, latents = _Tiles(keys, bias, allowed, ones=1), _latents(projected)
    shifted = torch.cat([latents, -log_total[:, None]], 1)
    scaled = pull[:, None] * latents
    of_latents, of_keys = torch.zeros_like(latents), torch.zeros_like(tiles.keys[:, :-1])
    parts = (torch.split(tensor, tiles.rows) for tensor in (shifted, scaled, of_latents))
    for rows, scaled_rows, of_rows in zip(*parts, strict=True):
        for start, logits in tiles.of(rows):
            weights, tile = logits.exp_(), tiles.tile(start)
            for_rows, for_keys = _products(weights, tiles.keys[tile, :-1], scaled_rows)
            of_rows += for_rows
            of_keys[tile] += for_keys
    of_keys, of_bias = of_keys[: len(keys), :-1], of_keys[: len(keys), -1]
    return of_latents[:, :-1] * pull[:, None], of_keys, of_bias


def _products(weights: Tensor, keys: Tensor, pull: Tensor) -> tuple[Tensor, Tensor]:
    """weights @ keys and weights.T @ pull: (n, c), (c, d), (n, d) -> (n, d), (c, d)."""
    with torch.enable_grad():  # the second is the gradient of the first
        columns = keys.T.requires_grad_()
        product = affine(weights, columns)
    (of_columns,) = torch.autograd.grad(product, columns, pull)
    return product.detach(), of_columns.T


def _sum_and_largest(tiles: _Tiles, rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """ln sum_v exp(logit_v) of some rows, and their nearest codes."""
    totals, found = [], []
    for start, logits in tiles.of(rows):
        largest = _largest(start, logits, count)
        top, place = largest[0][:, 0], largest[1][:, :1] - start
        # of one pass through the tile, where the sum of exponentials takes three
        total = top - logits.log_softmax(-1).gather(1, place)[:, 0]
        totals.append(total.masked_fill(top == -torch.inf, -torch.inf))  # where no code of a tile is allowed
        found.append(largest)
    return torch.stack(totals).logsumexp(0), _merged(found, count)[1]
