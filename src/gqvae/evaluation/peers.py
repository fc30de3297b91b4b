"""The tokenizers to compare with: from disk, ours or Hugging Face's, or trained on the spot (`trained.py`)."""

import json
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import chain, islice
from pathlib import Path
from time import process_time
from typing import Any

from gqvae.awkward import AWKWARD_TEXT
from gqvae.errors import GqvaeError
from gqvae.evaluation.metrics import TokenizerLike, evaluate
from gqvae.evaluation.trained import INSIDE, SMALLEST_PEER, TRAINERS, bpe, with_merges
from gqvae.evaluation.unigram import RESERVED, UnigramTokenizer, train_unigram
from gqvae.vocabulary import END_OF_TEXT

KINDS = (*TRAINERS, "unigram")
"""Kinds of peers that can be trained on the spot."""

SAMPLE = 100
"""Documents of the training text that a peer is checked on, the first ones."""
RUN, TIMES = 1000, 8
"""Characters of a short run, and how many times as long the long run is."""


class HuggingFacePeer:
    """A `tokenizers.Tokenizer` measured fairly: nothing is added to the text, and nothing in it is special.

    Text that spells a special token is encoded as the ordinary text it is.
    """

    note = ""
    """What a table should say of this tokenizer."""

    def __init__(self, tokenizer: Any, name: str) -> None:
        from gqvae.export import byte_level_alphabet

        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True
        self._tokenizer = tokenizer
        added = tokenizer.get_added_tokens_decoder()
        self._added: dict[int, str] = {id_: token.content for id_, token in added.items()}
        written = json.loads(tokenizer.to_str())
        # whether every token spells bytes in the byte-level alphabet
        self._byte_level = (written["decoder"] or {}).get("type") == "ByteLevel"
        self._inside_prefix: str = written["model"].get("continuing_subword_prefix") or ""
        self._byte_of = {character: bytes([byte]) for byte, character in enumerate(byte_level_alphabet())}
        self.name = name

    @property
    def vocab_size(self) -> int:
        """Every id, added tokens included."""
        return int(self._tokenizer.get_vocab_size(with_added_tokens=True))

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text`, without the tokens a post-processor would put around it."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        """Return the bytes the ids stand for; the decoded text in UTF-8 where tokens are not byte-level."""
        if not self._byte_level:
            text: str = self._tokenizer.decode(list(ids), skip_special_tokens=False)
            return text.encode("utf-8")
        return b"".join(map(self._token_bytes, ids))

    def _token_bytes(self, id_: int) -> bytes:
        if id_ in self._added:
            return self._added[id_].encode("utf-8")
        token: str | None = self._tokenizer.id_to_token(id_)
        if token is None:
            raise GqvaeError(f"{self.name} has no id {id_}")
        token = token.removeprefix(self._inside_prefix)
        # A character outside the byte alphabet (an <unk>) stands for itself.
        return b"".join([self._byte_of.get(character, character.encode("utf-8")) for character in token])


def parse_trained_peer(spec: str) -> tuple[str, tuple[int, ...]] | None:
    """Read "superbpe:4096:1024" as ("superbpe", (4096, 1024)); return None for what is not of that form.

    Raises GqvaeError for a known kind with sizes that cannot be.
    """
    kind, *numbers = spec.split(":")
    if not numbers or kind not in KINDS:
        return None
    sizes = tuple(int(number) if number.isascii() and number.isdecimal() else 0 for number in numbers)
    if sizes[0] < SMALLEST_PEER or (len(sizes) > 1 and kind != "superbpe"):
        least = f"{SMALLEST_PEER} (the bytes and {END_OF_TEXT}) or more"
        raise GqvaeError(f"{spec}: write {kind}:N with a number of ids for N, {least}")
    if len(sizes) > 2 or not SMALLEST_PEER <= sizes[-1] <= sizes[0]:
        raise GqvaeError(f"{spec}: write superbpe:N:T with a number of ids for T, from {SMALLEST_PEER} to N")
    return kind, sizes


def train_peer(spec: str, documents: Iterable[str]) -> "HuggingFacePeer | UnigramTokenizer":
    """Train "KIND:N", KIND one of KINDS, or "superbpe:N:T" on `documents`; N counts every id.

    The result is checked, not believed: its `note` says what `faults` finds. Raises GqvaeError for another spec, and
    for a text that Unigram cannot be trained on.
    """
    parsed = parse_trained_peer(spec)
    if parsed is None:
        raise GqvaeError(f"unknown peer {spec!r}: write {' or '.join(f'{kind}:N' for kind in KINDS)}")
    kind, sizes = parsed
    sample, documents = _sampled(documents)
    peer: HuggingFacePeer | UnigramTokenizer
    if kind == "unigram":
        peer = train_unigram(documents, sizes[0], END_OF_TEXT, spec)
    else:
        peer = HuggingFacePeer(TRAINERS[kind](documents, *sizes), spec)
    peer.note = _joined(peer.note, faults(peer, sizes[0], sample))
    return peer


def bpe_of_compression(
    documents: Iterable[str], bytes_per_token: float, measured_on: Iterable[str], largest: int
) -> HuggingFacePeer:
    """The BPE trained on `documents` whose bytes per token on `measured_on` come closest to those given.

    Found by bisection among the beginnings of one BPE of `largest` ids. Its `note` says when that is not enough, and
    what `faults` finds.
    """
    sample, documents = _sampled(documents)
    full, texts = bpe(documents, largest), list(measured_on)

    def of(size: int) -> HuggingFacePeer:
        return HuggingFacePeer(with_merges(full, size), f"bpe:{size}")

    @cache
    def reached(size: int) -> float:
        return evaluate(of(size), texts)["bytes_per_token"]

    low, high = SMALLEST_PEER, full.get_vocab_size()
    short = f"no BPE of up to {largest:,} ids on this text has {bytes_per_token:.3f} bytes per token"
    note = short if reached(high) < bytes_per_token else ""
    while high - low > 1:  # more merges compress better, as good as always
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) >= bytes_per_token else (middle, high)
    found = of(min((low, high), key=lambda size: abs(reached(size) - bytes_per_token)))
    found.note = _joined(note, faults(found, found.vocab_size, sample))
    return found


def faults(peer: TokenizerLike, size: int, sample: Iterable[str]) -> str:
    """Say what is wrong with a tokenizer that should have `size` ids; empty if nothing is.

    Checked on unusual text, on `sample`, and on long runs of one character.
    """
    texts = [*AWKWARD_TEXT, RESERVED + INSIDE, *sample]
    encoded = [(text.encode(), peer.encode(text)) for text in texts]
    found = {
        f"has {peer.vocab_size} ids, not the {size} asked for": peer.vocab_size != size,
        "loses text": any(peer.decode_bytes(ids) != data for data, ids in encoded),
        "gives ids beyond its vocabulary": any(max(ids, default=0) >= peer.vocab_size for _, ids in encoded),
        "gives more tokens than bytes": any(len(ids) > len(data) for data, ids in encoded),
        "takes more than linear time for a long run": _seconds(peer, RUN * TIMES) > _seconds(peer, RUN) * TIMES**1.5,
    }
    return _joined(*(fault for fault, is_so in found.items() if is_so))


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def _seconds(peer: TokenizerLike, length: int) -> float:
    """Time that a run of one character takes, at best."""

    def once() -> float:
        start = process_time()
        peer.encode("a" * length)
        return process_time() - start

    return min(once() for _ in range(3))


def _sampled(documents: Iterable[str]) -> tuple[list[str], Iterable[str]]:
    """The first documents, and all of them."""
    stream = iter(documents)
    sample = list(islice(stream, SAMPLE))
    return sample, chain(sample, stream)


def load_peer(spec: str) -> TokenizerLike:
    """Load a tokenizer to measure: a folder of ours, a bundled name, or "hf:FOLDER" with a tokenizer.json.

    Raises GqvaeError when it is missing or damaged.
    """
    if spec.startswith("hf:"):
        return _load_hugging_face(Path(spec.removeprefix("hf:")), spec)
    from gqvae.names import load

    return load(spec)


def _load_hugging_face(folder: Path, name: str) -> HuggingFacePeer:
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise GqvaeError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    try:
        return HuggingFacePeer(Tokenizer.from_str(text), name)
    except Exception as error:  # the library raises plain Exception
        raise GqvaeError(f"{path} is not a tokenizer that `tokenizers` can load: {error}") from error
