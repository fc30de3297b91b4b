"""GQ-VAE: a gated, quantized autoencoder of pretokens (arXiv 2512.21913, figures 1 and 2).

    symbols (B, T) -encode-> latents (B, T, D) -quantize-> codes (B, T), vectors (B, T, D) -gate-> gates (B, T)
                                                                       vectors (..., D) -decode-> Decoded

B pretokens, T symbols each (one length a batch: nothing is padded), D width, V codes, K longest token, S symbols: 256
bytes, or the tokens of a base tokenizer (`alphabet`).

The decoder sees one code and no neighbour. That is the whole point: a code stands for one fixed string.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gqvae.config import ModelConfig
from gqvae.learn.linear import Linear, affine
from gqvae.learn.quantizers import Quantizer
from gqvae.learn.segments import lookback


@dataclass(frozen=True)
class Decoded:
    """What codes stand for, as log-probabilities in nats."""

    characters: Tensor
    """(..., K, S): slot k is the symbol k places before the end (the last one is slot 0). Fewer than K where only the
    nearest were asked for."""
    lengths: Tensor
    """(..., K): slot k is a token of k + 1 symbols."""

    def strings(self) -> list[str]:
        """The likeliest string of each of V codes; characters (V, K, S)."""
        characters = self.characters.argmax(-1).flip(-1).tolist()
        lengths = (self.lengths.argmax(-1) + 1).tolist()
        return ["".join(map(chr, row[len(row) - n :])) for row, n in zip(characters, lengths, strict=True)]

    def costs(self) -> Tensor:
        """(V,): nats that saying its likeliest string costs each code."""
        lengths, last = self.lengths.max(-1)
        characters = self.characters.amax(-1).cumsum(-1).gather(-1, last[..., None])[..., 0]
        return -(characters + lengths)


class GQVAE(nn.Module):
    """Embedding, encoder, quantizer, gater and decoder; the objectives that train it are in `objectives`."""

    price: Tensor
    """() nats that a token costs: state, because a target moves it (`rate`)."""

    def __init__(self, config: ModelConfig, quantizer: Quantizer, window: int, symbols: int = 256) -> None:
        super().__init__()
        self.register_buffer("price", torch.zeros(()))
        self.longest = config.longest_token
        self.quantizer = quantizer
        self.embed = Embedding(symbols, window, config.width)
        self.encoder = nn.Sequential(
            *(AttentionBlock(config.width, config.heads) for _ in range(config.encoder_layers)),
            nn.LayerNorm(config.width),
        )
        self.gater = Gater(config)
        self.decoder = Decoder(config, symbols)

    def encode(self, pretokens: Tensor) -> Tensor:
        """(B, T) symbols -> latents (B, T, D)."""
        latents: Tensor = self.encoder(self.embed(pretokens))
        return latents

    def decode(self, vectors: Tensor, slots: int | None = None) -> Decoded:
        """(..., D) -> Decoded, each vector by itself. slots: how many of the nearest characters are wanted; all K."""
        decoded: Decoded = self.decoder(vectors, slots or self.longest)
        return decoded

    def gate(self, vectors: Tensor) -> Tensor:
        """(B, T, D) -> logits (B, T) that a token ends at each symbol."""
        logits: Tensor = self.gater(vectors)
        return logits

    def decode_codebook(self) -> Decoded:
        """All codes at once: characters (V, K, S), lengths (V, K)."""
        return self.decode(self.quantizer.table())


class Embedding(nn.Module):
    """Symbols, and where they stand: distance from both ends of the pretoken.

    Attention alone cannot tell left from right; the paper's symmetric ALiBi leaves that to the padding.
    """

    def __init__(self, symbols: int, window: int, width: int) -> None:
        super().__init__()
        self.symbol = nn.Embedding(symbols, width)
        self.from_left = nn.Embedding(window, width)
        self.from_right = nn.Embedding(window, width)
        for position in (self.from_left, self.from_right):
            nn.init.normal_(position.weight, std=0.3)

    def forward(self, pretokens: Tensor) -> Tensor:
        places = torch.arange(pretokens.shape[1], device=pretokens.device)
        embedded: Tensor = self.symbol(pretokens) + self.from_left(places) + self.from_right(places.flip(0))
        return embedded


class AttentionBlock(nn.Module):
    """Pre-norm bidirectional attention and feed-forward, (B, T, D) -> (B, T, D)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.project_in = Linear(width, 3 * width)
        self.project_out = Linear(width, width)
        self.feed_forward = FeedForward(width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        projected = self.project_in(self.attention_norm(x)).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = projected.permute(2, 0, 3, 1, 4)
        attended = attend(query, key, value).transpose(1, 2).reshape(x.shape)
        mixed: Tensor = self.feed_forward(x + self.project_out(attended))
        return mixed


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(query @ key.T / sqrt d) @ value, all (B, heads, T, d).

    On a CPU in so many words: torch's kernel, made for long sequences, takes three times as long on two threads, longer
    than on one.
    """
    if query.device.type != "cpu":
        return F.scaled_dot_product_attention(query, key, value)
    scores = query * query.shape[-1] ** -0.5 @ key.transpose(-1, -2)
    attended: Tensor = scores.softmax(-1) @ value
    return attended


class FeedForward(nn.Module):
    """Pre-norm residual block on each position alone, (..., D) -> (..., D)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.LayerNorm(width), Linear(width, 2 * width), nn.GELU(), Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        deepened: Tensor = x + self.layers(x)
        return deepened


class Gater(nn.Module):
    """Attention over the quantized vectors, then convolutions of width 2K, 1.5K and K down to one logit a symbol.

    The paper's three convolutions have no nonlinearity between them, which makes them one affine map; ours do.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention = nn.Sequential(
            *(AttentionBlock(config.width, config.heads) for _ in range(config.gater_layers)),
            nn.LayerNorm(config.width),
        )
        longest, channels = config.longest_token, config.gater_channels
        # odd widths, so that a convolution has a middle
        first, second, third = (width | 1 for width in (2 * longest, 3 * longest // 2, longest))
        self.convolutions = nn.Sequential(
            Convolution(config.width, channels, first),
            nn.GELU(),
            Convolution(channels, channels, second),
            nn.GELU(),
            Convolution(channels, 1, third),
        )

    def forward(self, vectors: Tensor) -> Tensor:
        logits: Tensor = self.convolutions(self.attention(vectors).transpose(1, 2))
        return logits.squeeze(1)


class Convolution(nn.Conv1d):
    """(B, C, T) -> (B, C', T) of odd width, zeros beyond the edges, without the taps that would only ever read those
    zeros: a pretoken is mostly shorter than the filter, and torch's own takes ten times as long."""

    def __init__(self, channels_in: int, channels_out: int, width: int) -> None:
        super().__init__(channels_in, channels_out, width, padding=width // 2)

    def forward(self, x: Tensor) -> Tensor:
        middle = self.kernel_size[0] // 2
        reach = min(middle, x.shape[-1] - 1)
        return F.conv1d(x, self.weight[..., middle - reach : middle + reach + 1], self.bias, padding=reach)


class Decoder(nn.Module):
    """Feed-forward on one vector alone -> K characters, nearest first, and a length."""

    def __init__(self, config: ModelConfig, symbols: int) -> None:
        super().__init__()
        width = config.decoder_width
        self.layers = nn.Sequential(
            Linear(config.width, width),
            *(FeedForward(width) for _ in range(config.decoder_layers)),
            nn.LayerNorm(width),
        )
        self.slots = Linear(width, config.longest_token * config.character_width)
        self.characters = Linear(config.character_width, symbols)
        self.lengths = Linear(width, config.longest_token)

    def forward(self, vectors: Tensor, slots: int) -> Decoded:
        hidden = self.layers(vectors)
        size = slots * self.characters.in_features
        near = affine(hidden, self.slots.weight[:size], self.slots.bias[:size])
        characters = self.characters(F.gelu(near).view(*hidden.shape[:-1], slots, -1))
        return Decoded(characters.log_softmax(-1), self.lengths(hidden).log_softmax(-1))


def span_costs(decoded: Decoded, pretokens: Tensor) -> Tensor:
    """Nats it costs to spell each span with the vector at its end: characters and length.

    Args:
        decoded: of one vector a symbol, characters (B, T, K, S), lengths (B, T, K).
        pretokens: (B, T).
    Returns:
        (B, T, K), a running sum over the characters back from t, plus -ln p(length).
    """
    wanted = lookback(pretokens, decoded.lengths.shape[-1])
    return -decoded.characters.gather(-1, wanted[..., None])[..., 0].cumsum(-1) - decoded.lengths


def candidate_span_costs(codebook: Decoded, candidates: Tensor, pretokens: Tensor) -> Tensor:
    """The same for M candidate codes a symbol, read off the decoded codebook.

    Args:
        codebook: characters (V, K, S), lengths (V, K): each code is decoded once, however often it is considered.
        candidates: (B, T, M) code indices.
        pretokens: (B, T).
    Returns:
        (B, T, M, min(K, T)) nats: no span is longer than the pretoken.
    """
    longest, symbols = codebook.characters.shape[-2:]
    reach = min(longest, pretokens.shape[1])
    slots = candidates[..., None] * longest + torch.arange(reach, device=candidates.device)
    wanted = slots * symbols + lookback(pretokens, reach)[:, :, None]
    return -codebook.characters.flatten()[wanted].cumsum(-1) - codebook.lengths[:, :reach][candidates]
