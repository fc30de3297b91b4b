"""The string each code stands for.

A code stands for one fixed string, so the codebook is a dictionary, and training may look words up in it: the code
that spells a span exactly is a candidate for it beside the nearest ones (`objectives.Marginal`). Without that, a code
for a rare string waits among thousands for a latent that falls near it, and is taken for dead.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gqvae.learn.model import Decoded
from gqvae.learn.segments import lookback, within

# odd, so that no power of it vanishes modulo 2 ** 64; the constant of splitmix64 as a signed number
_BASE = 0x9E3779B97F4A7C15 - (1 << 64)


# Not frozen: Fabric walks what a forward pass takes and gives, and refuses frozen dataclasses.
@dataclass
class Lexicon:
    """V strings, read backwards: the last symbol first, zero-filled to K."""

    backwards: Tensor
    """(V, K) symbols."""
    lengths: Tensor
    """(V,)"""
    unsaid: Tensor
    """(P,) codes that the decoder does not yet spell so."""

    @classmethod
    def of(cls, strings: Sequence[str], decoded: Sequence[str], longest: int, device: torch.device) -> "Lexicon":
        """The strings of V codes, and what the decoder makes of them."""
        backwards = torch.zeros(len(strings), longest, dtype=torch.long)
        for row, string in zip(backwards, strings, strict=True):
            row[: len(string)] = torch.tensor(list(map(ord, reversed(string))))
        lengths = torch.tensor([len(string) for string in strings])
        unsaid = [code for code, pair in enumerate(zip(strings, decoded, strict=True)) if pair[0] != pair[1]]
        return cls(backwards.to(device), lengths.to(device), torch.tensor(unsaid, dtype=torch.long, device=device))

    def strings(self) -> list[str]:
        """V strings."""
        rows = zip(self.backwards.tolist(), self.lengths.tolist(), strict=True)
        return ["".join(map(chr, row[:length][::-1])) for row, length in rows]

    def look_up(self, pretokens: Tensor) -> Tensor:
        """(B, T) -> (B, T, K): a code that spells the span exactly, -1 where there is none.

        Of several such codes it is always the same one. Spans are compared by polynomial hashes of 64 bits.
        """
        batch, length = pretokens.shape
        longest = self.backwards.shape[1]
        wanted = _hashes(lookback(pretokens, longest))
        known, order = _hashes(self.backwards).gather(1, self.lengths[:, None] - 1)[:, 0].sort(stable=True)
        places = torch.searchsorted(known, wanted).clamp(max=len(known) - 1)
        found = (known[places] == wanted) & within(length, longest, pretokens.device)
        return torch.where(found, order[places], -1).view(batch, length, longest)

    def spelling_cost(self, codebook: Decoded, rows: Tensor) -> Tensor:
        """Mean nats the decoder needs to say the strings of the codes `rows` (P,); `codebook` is theirs, decoded."""
        characters = codebook.characters.gather(-1, self.backwards[rows][..., None])[..., 0]
        lengths = self.lengths[rows, None]
        inside = torch.arange(characters.shape[1], device=characters.device) < lengths
        return -((characters * inside).sum(1) + codebook.lengths.gather(-1, lengths - 1)[:, 0]).mean()


def _hashes(backwards: Tensor) -> Tensor:
    """(..., K) symbols -> (..., K): hashes of the first 1 to K of them."""
    powers = torch.full((backwards.shape[-1],), _BASE, dtype=torch.long, device=backwards.device).cumprod(0)
    return ((backwards + 1) * powers).cumsum(-1)
