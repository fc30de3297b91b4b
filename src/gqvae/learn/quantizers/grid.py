"""All combinations of the codes of several parts."""

from collections.abc import Sequence

import torch
from torch import Tensor


def combinations(parts: Sequence[Tensor]) -> Tensor:
    """Parts (n_i, d_i) -> (product of n_i, sum of d_i): one of each beside each other, the last part fastest.

    >>> combinations([torch.tensor([[0], [1]]), torch.tensor([[5], [6]])]).tolist()
    [[0, 5], [0, 6], [1, 5], [1, 6]]
    """
    table = parts[0]
    for part in parts[1:]:
        left = table.repeat_interleave(len(part), 0)
        table = torch.cat([left, part.repeat(len(table), 1)], 1)
    return table
