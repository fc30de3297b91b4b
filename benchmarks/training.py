"""A step of training against a straightforward implementation of the same loss: padded, with one-hot look-ups.

`Padded` is that: pretokens filled up to the window, logits of all codes kept by autograd, one-hot matrices to look them
up, and the decoder run for every symbol and candidate, not every code. Both take the same batches of pretokens, and
give the same loss, which is checked first. Time is that of the loss and its gradient; memory is what the resident set
of a fresh process grows by at most in one step, with 50,000 codes.
"""

import multiprocessing
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from timing import keep, parser, side_by_side
from torch import Tensor, nn
from torch.nn import functional as F

from gqvae.config import Config
from gqvae.corpus import Corpus
from gqvae.learn.data import Batches
from gqvae.learn.model import GQVAE, AttentionBlock
from gqvae.learn.objectives import Marginal, Phase
from gqvae.learn.quantizers import make_quantizer
from gqvae.learn.run import Run
from gqvae.learn.segments import lookback
from gqvae.presets import preset
from gqvae.pretokens import Counting

WEIGHT = 6.0
"""Of reconstruction, as at the end of training."""
SIZES = (1_024, 8_192)
LARGE, LARGE_BATCH = 50_000, 1_024
"""Codes, and symbols a batch: the twin takes gigabytes."""
BATCHES = 3


class Padded(nn.Module):
    """The marginal objective in the obvious way: (B, W) pretokens of any length, filled up with zeros."""

    def __init__(self, model: GQVAE, count: int) -> None:
        super().__init__()
        self.model, self.count = model, count

    def forward(self, pretokens: Tensor, lengths: Tensor) -> Tensor:
        model, quantizer, longest = self.model, self.model.quantizer, self.model.longest
        places = torch.arange(pretokens.shape[1])
        real = places < lengths[:, None]
        embed = model.embed
        x = embed.symbol(pretokens) + embed.from_left(places)
        x = x + embed.from_right((lengths[:, None] - 1 - places).clamp(min=0))
        latents = _attended(model.encoder, x, real)

        keys, bias = quantizer.keys()
        log_probs = (quantizer.project(latents).flatten(0, 1) @ keys.T + bias).log_softmax(-1)
        best, indices = log_probs.topk(self.count)
        one_hot = torch.zeros(*indices.shape, quantizer.size).scatter_(2, indices[..., None], 1.0)
        vectors = quantizer.expand(one_hot @ quantizer.points())
        decoded = model.decode(vectors)
        wanted = lookback(pretokens, longest).flatten(0, 1)[:, None, :, None].expand(-1, self.count, -1, -1)
        costs = -decoded.characters.gather(-1, wanted)[..., 0].cumsum(-1) - decoded.lengths
        scores = (best[..., None] - WEIGHT * costs - model.price).logsumexp(1).view(*pretokens.shape, longest)

        loss = -_log_partition(scores, lengths).sum()
        free = scores.detach().requires_grad_()
        (posterior,) = torch.autograd.grad(_log_partition(free, lengths).sum(), free)
        nearest = vectors[:, 0].detach().view_as(latents)
        gates = F.binary_cross_entropy_with_logits(
            self._gate(nearest, real), posterior.sum(-1).clamp(0, 1), reduction="none"
        )
        return (loss + (gates * real).sum()) / real.sum()

    def _gate(self, vectors: Tensor, real: Tensor) -> Tensor:
        x = _attended(self.model.gater.attention, vectors, real).transpose(1, 2)
        for layer in self.model.gater.convolutions:
            if isinstance(layer, nn.Conv1d):
                x = F.conv1d(x * real[:, None], layer.weight, layer.bias, padding="same")
            else:
                x = layer(x)
        return x.squeeze(1)


def _attended(blocks: nn.Sequential, x: Tensor, real: Tensor) -> Tensor:
    for block in blocks:
        x = _attention(block, x, real) if isinstance(block, AttentionBlock) else block(x)
    return x


def _attention(block: AttentionBlock, x: Tensor, real: Tensor) -> Tensor:
    batch, length, width = x.shape
    projected = block.project_in(block.attention_norm(x)).view(batch, length, 3, block.heads, width // block.heads)
    query, key, value = projected.permute(2, 0, 3, 1, 4)
    attended = F.scaled_dot_product_attention(query, key, value, attn_mask=real[:, None, None])
    mixed: Tensor = block.feed_forward(x + block.project_out(attended.transpose(1, 2).reshape(x.shape)))
    return mixed


def _log_partition(scores: Tensor, lengths: Tensor) -> Tensor:
    """Of pretokens that end at different places."""
    batch, width, longest = scores.shape
    totals = [scores.new_zeros(batch)]
    for t in range(width):
        reach = min(longest, t + 1)
        before = torch.stack([totals[t - k] for k in range(reach)], 1)
        totals.append(torch.logsumexp(before + scores[:, t, :reach], 1))
    return torch.stack(totals, 1).gather(1, lengths[:, None])[:, 0]


def main() -> None:
    given = parser(__doc__, "tinystories_train.txt").parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        run = Run.prepare(Path(folder) / "run", preset("tiny"), Corpus((str(given.text),)), Counting(workers=1))
        rows = [_timed(run, size, given.repeats) for size in SIZES]
        rows.append(_weighed(run))
    settings = run.config.training
    about = f"`tiny` on {given.text.name}, {settings.batch_symbols:,} symbols a batch ({LARGE_BATCH:,} for memory)"
    keep("training", about, rows)


def step_tasks(run: Run, codes: int, batches: list[Tensor]) -> dict[str, Any]:
    """A step over these batches in both ways, as functions that return the summed loss."""
    config = run.config
    torch.manual_seed(0)
    model = GQVAE(config.model, make_quantizer(config.quantizer, codes, config.model.width), config.pretokens.window)
    objective = Marginal(model, config.objective, config.quantizer)
    padded = Padded(model, config.quantizer.candidates)
    phase = Phase(quantized=True, weight=WEIGHT, lexicon=None, pinned=None)
    window = config.pretokens.window
    filled = [(F.pad(x, (0, window - x.shape[1])), torch.full((len(x),), x.shape[1])) for x in batches]

    def ours() -> float:
        return sum(_step(model, objective(batch, phase).loss) for batch in batches)

    def theirs() -> float:
        return sum(_step(model, padded(*batch)) for batch in filled)

    return {"padded, one-hot": theirs, "ours": ours}


def _step(model: GQVAE, loss: Tensor) -> float:
    model.zero_grad()
    loss.backward()
    return loss.item()


def draw_batches(run: Run, config: Config, count: int) -> list[Tensor]:
    drawing = Batches(run.table, config.training.count_exponent, config.training.batch_symbols)
    generator = torch.Generator().manual_seed(1)
    return [drawing.draw(generator) for _ in range(count)]


def _timed(run: Run, codes: int, repeats: int) -> dict[str, Any]:
    tasks = step_tasks(run, codes, draw_batches(run, run.config, BATCHES))
    theirs, ours = (task() for task in tasks.values())
    assert abs(theirs - ours) < 1e-4 * abs(ours), (theirs, ours)
    seconds = side_by_side(tasks, repeats, time.process_time)
    return {"what": f"time of a step, {codes:,} codes", "x faster": seconds["padded, one-hot"] / seconds["ours"]}


def _weighed(run: Run) -> dict[str, Any]:
    training = replace(run.config.training, batch_symbols=LARGE_BATCH)
    batches = draw_batches(run, replace(run.config, training=training), 1)
    context = multiprocessing.get_context("spawn")
    grown = {}
    for name in ("ours", "padded, one-hot"):
        with context.Pool(1) as pool:
            grown[name] = pool.apply(_growth, (run.folder, name, batches))
    ratio = grown["padded, one-hot"] / grown["ours"]
    return {"what": f"memory of a step, {LARGE:,} codes: {grown['ours'] / 1e6:.0f} MB", "x less": ratio}


def _growth(folder: Path, name: str, batches: list[Tensor]) -> int:
    """Bytes by which the resident set of this process grows at most in a step."""
    torch.set_num_threads(1)
    task = step_tasks(Run.open(folder), LARGE, batches)[name]
    small = step_tasks(Run.open(folder), 64, batches)[name]
    small()  # libraries set themselves up
    Path("/proc/self/clear_refs").write_text("5")  # forget the most so far
    before = _resident("VmRSS")
    task()
    return _resident("VmHWM") - before


def _resident(what: str) -> int:
    """Bytes that this process has in memory, or had at most. (What `resource` tells begins with the parent's most.)"""
    status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(status[what].split()[0])


if __name__ == "__main__":
    main()
