"""Search for the nearest codes against faiss's exact indexes: one thread each, the same codes found."""

import time
from functools import partial
from typing import Any

import faiss
import torch
from timing import keep, parser, side_by_side

from gqvae.learn.nearest import nearest

LATENTS = 4_096
SIZES = ((1_024, 32), (8_192, 32), (50_000, 32), (8_192, 128), (50_000, 128))
"""Codes, and the width in which they are compared: that of the low-dimensional quantizers, and a full one."""


def main() -> None:
    given = parser(__doc__).parse_args()
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    rows = [row for codes, width in SIZES for row in _rows(codes, width, given.repeats)]
    keep("search", f"{LATENTS:,} random latents, the nearest of V codes of width d", rows)


def _rows(codes: int, width: int, repeats: int) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(0)
    latents, keys = (torch.randn(count, width, generator=generator) for count in (LATENTS, codes))
    rows = []
    for kind, index, bias in (
        ("inner product", faiss.IndexFlatIP(width), torch.zeros(codes)),
        ("Euclidean", faiss.IndexFlatL2(width), -keys.square().sum(1) / 2),
    ):
        index.add(keys.numpy())
        queries = latents.numpy()
        theirs = torch.from_numpy(index.search(queries, 1)[1][:, 0])
        same = (theirs == nearest(latents, keys, bias)).double().mean().item()
        seconds = side_by_side(
            {"faiss": partial(index.search, queries, 1), "ours": partial(nearest, latents, keys, bias)},
            repeats,
            time.process_time,
        )
        ratio = seconds["ours"] / seconds["faiss"]
        rows.append({"codes V": codes, "width d": width, "distance": kind, "time, x faiss": ratio, "same code": same})
    return rows


if __name__ == "__main__":
    main()
