"""The paper's mathematics of segmentation, as pure functions.

Shapes: B pretokens, T bytes each, K the longest token. A span is named by where it ends and how long it is:
`[b, t, k]` is the span of the k + 1 bytes that end at byte t. Entries with k > t reach before the pretoken; no
function here reads them.

A segmentation of a pretoken is a set of spans that tile it. There are two ways to handle the choice softly:

- gates (the paper): a gate is the probability that a token ends at a byte, each byte by itself. `open_lengths` gives
  the distribution of the token that is open at each byte, `survival_mask` the paper's mask.
- marginal: sum over all segmentations at once, the forward pass of a semi-Markov model. `log_partition` is the sum,
  `span_posterior` its gradient, `best_lengths` the Viterbi path.
"""

import torch
from torch import Tensor


def lookback(values: Tensor, longest: int) -> Tensor:
    """The last K values at each position, nearest first: out[b, t, k] = values[b, t - k], 0 before the start.

    >>> lookback(torch.tensor([[7, 8, 9]]), 2)
    tensor([[[7, 0],
             [8, 7],
             [9, 8]]])
    """
    padded = torch.nn.functional.pad(values, (longest - 1, 0))
    return padded.unfold(1, longest, 1).flip(-1)


def within(length: int, longest: int, device: torch.device | None = None) -> Tensor:
    """(T, K) mask of the spans that lie inside a pretoken of `length` bytes."""
    ends = torch.arange(length, device=device)[:, None]
    return torch.arange(longest, device=device)[None] <= ends


def open_lengths(gates: Tensor, longest: int) -> tuple[Tensor, Tensor]:
    """Follow the token that is open at each byte, closing it at a gate, after K bytes, and at the last byte.

    The two forced closings are what makes every byte belong to a token (the paper's code lacks them and loses text).

    Args:
        gates: (B, T) probability that a token ends at each byte; 0/1 gates give the hard segmentation.
    Returns:
        open: (B, T, K), probability that the token open at t has k + 1 bytes so far; rows sum to 1.
        ends: (B, T), the gates with the forced ones in: probability that a token ends at t.

    >>> open_lengths(torch.tensor([[0., 0., 0.]]), 2)[1]       # forced after two bytes and at the end
    tensor([[0., 1., 1.]])
    """
    batch, length = gates.shape
    current = torch.nn.functional.pad(gates.new_ones(batch, 1), (0, longest - 1))
    opens, ends = [], []
    for t in range(length):
        gate = gates[:, t, None]
        closing = torch.cat([current[:, :-1] * gate, current[:, -1:]], 1).sum(1)
        opens.append(current)
        ends.append(closing if t + 1 < length else torch.ones_like(closing))
        current = torch.cat([closing[:, None], current[:, :-1] * (1 - gate)], 1)
    return torch.stack(opens, 1), torch.stack(ends, 1)


def survival_mask(open_: Tensor) -> Tensor:
    """(B, T, K): how surely byte t - k belongs to the token that is open at t.

    Without a forced gate this is the paper's product of (1 - g[t - j]) over j = 1..k.
    """
    return open_.flip(-1).cumsum(-1).flip(-1)


def log_partition(scores: Tensor) -> Tensor:
    """Log of the summed weight of all segmentations: Z[t] = logsumexp_k (Z[t - k] + score of the span), Z[0] = 0.

    Args:
        scores: (B, T, K) log weight of each span, in nats.
    Returns:
        (B,) nats.
    """
    batch, length, longest = scores.shape
    totals = [scores.new_zeros(batch)]
    for t in range(length):
        reach = min(longest, t + 1)
        before = torch.stack([totals[t - k] for k in range(reach)], 1)
        totals.append(torch.logsumexp(before + scores[:, t, :reach], 1))
    return totals[-1]


def span_posterior(scores: Tensor) -> Tensor:
    """(B, T, K): probability of each span under the distribution over segmentations. Their expected lengths add up to
    T."""
    with torch.enable_grad():
        free = scores.detach().requires_grad_()
        (posterior,) = torch.autograd.grad(log_partition(free).sum(), free)
    return posterior


def best_lengths(scores: Tensor) -> Tensor:
    """Viterbi: (B, T) length of the last token of the best segmentation of the bytes up to and with t.

    Follow it back from the last byte to read the segmentation (`ends_from_lengths`). Ties go to the shorter token.
    """
    batch, length, longest = scores.shape
    totals, lengths = [scores.new_zeros(batch)], []
    for t in range(length):
        reach = min(longest, t + 1)
        before = torch.stack([totals[t - k] for k in range(reach)], 1)
        best, index = (before + scores[:, t, :reach]).max(1)
        totals.append(best)
        lengths.append(index + 1)
    return torch.stack(lengths, 1)


def best_total(scores: Tensor, values: Tensor) -> Tensor:
    """(B,) the summed `values` (B, T, K) of the spans of the best segmentation: with ones, how many tokens it has."""
    batch, length, longest = scores.shape
    best, total = [scores.new_zeros(batch)], [values.new_zeros(batch)]
    for t in range(length):
        reach = min(longest, t + 1)
        score, index = (torch.stack([best[t - k] for k in range(reach)], 1) + scores[:, t, :reach]).max(1, keepdim=True)
        summed = torch.stack([total[t - k] for k in range(reach)], 1) + values[:, t, :reach]
        best.append(score[:, 0])
        total.append(summed.gather(1, index)[:, 0])
    return total[-1]


def ends_from_lengths(lengths: list[int]) -> list[int]:
    """Positions just after each token, in order, from one row of `best_lengths`.

    >>> ends_from_lengths([1, 2, 1, 2])                        # the last token has 2 bytes, the one before it 2
    [2, 4]
    """
    ends, end = [], len(lengths)
    while end > 0:
        ends.append(end)
        end -= lengths[end - 1]
    return ends[::-1]
