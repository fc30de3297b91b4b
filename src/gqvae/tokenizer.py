"""The tokenizer at run time: text or bytes to ids and back, without torch.

Text is cut into pretokens by a pattern; a pretoken's ids are its segmentation of largest total score
(`gqvae.encoder.viterbi`). What was segmented once is remembered (`gqvae.encoder`).

>>> from gqvae.vocabulary import Vocabulary
>>> vocabulary = Vocabulary(learned=(b"he", b"hell", b"o wor"))
>>> tokenizer = Tokenizer(vocabulary, [-9.0] * 256 + [-3.0, -2.0, -1.0], pattern="none", name="example")
>>> tokenizer.encode("hello world")
[257, 258, 108, 100]
>>> tokenizer.decode([257, 258, 108, 100])
'hello world'
"""

from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from gqvae import artifact
from gqvae.awkward import AWKWARD_BYTES, AWKWARD_TEXT
from gqvae.encoder import Encoder
from gqvae.encoder.packed import pack, unpack, unpack_each
from gqvae.encoder.processes import encode_in_processes
from gqvae.encoder.segmentation import Segmenter
from gqvae.errors import GqvaeError
from gqvae.offsets import with_offsets
from gqvae.patterns import compiled_pattern
from gqvae.validation import checked_name, checked_provenance, checked_scores, checked_texts, decoded_text
from gqvae.vocabulary import Vocabulary, special_pattern

SpecialNames = Literal["all"] | Collection[str]
_SpecialRules = tuple[frozenset[str], frozenset[str]]


class Tokenizer:
    """A vocabulary, a score for each of its plain tokens, and a pretoken pattern.

    Args:
        vocabulary: the ids and their byte strings.
        scores: one number for each id that text can produce (256 bytes, then the learned strings), higher is
            better, at most 1e6 in size; kept to 6 decimals.
        pattern: a name in `gqvae.patterns.PATTERNS`.
        name: what reports call this tokenizer.
        provenance: where it comes from (versions, seed, corpus hash), as JSON values.

    Raises:
        GqvaeError: any of these is out of range; the message says which.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        scores: Sequence[float],
        pattern: str,
        name: str,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        compiled_pattern(pattern)  # raises for one that there is not
        self.vocabulary = vocabulary
        self.scores = checked_scores(scores, len(vocabulary.plain_tokens))
        self.pattern = pattern
        self.name = checked_name(name)
        self.provenance = checked_provenance({} if provenance is None else provenance)
        self._encoder = Encoder(pattern, lambda pieces: self._segmenter.segment(pieces))

    def __repr__(self) -> str:
        return f"Tokenizer({self.name!r}, pattern={self.pattern!r}, vocab_size={self.vocab_size})"

    def __reduce__(self) -> tuple[Any, ...]:
        of_file = {"sha256": self.sha256} if "sha256" in vars(self) else None
        return Tokenizer, (self.vocabulary, self.scores, self.pattern, self.name, self.provenance), of_file

    @property
    def vocab_size(self) -> int:
        """The number of ids: 256 bytes, learned strings and specials."""
        return len(self.vocabulary)

    @property
    def special_ids(self) -> dict[str, int]:
        """The id of every special token by name."""
        return dict(self.vocabulary.special_ids)

    @cached_property
    def sha256(self) -> str:
        """The hash of the file this was loaded from, or else of the one that `save` would write."""
        return artifact.sha256(self._content())

    # Encoding

    def encode(
        self,
        text: str | bytes,
        *,
        allowed_special: SpecialNames = (),
        disallowed_special: SpecialNames = (),
    ) -> list[int]:
        """The ids of `text`. Bytes need not be valid UTF-8.

        The name of a special token in the text is ordinary text, unless it is in `allowed_special`.

        Args:
            allowed_special: names that become their special id, or "all".
            disallowed_special: names that are an error in the text, or "all" (those not allowed).

        Raises:
            GqvaeError: a disallowed special token is in the text, a name is unknown, or a str holds a lone
                surrogate.
        """
        allowed, refused = self._special_rules(allowed_special, disallowed_special)
        return unpack(self._packed(decoded_text(text, refused), allowed))

    def encode_batch(
        self,
        texts: Iterable[str | bytes],
        workers: int = 0,
        *,
        allowed_special: SpecialNames = (),
        disallowed_special: SpecialNames = (),
    ) -> list[list[int]]:
        """`encode` of every text, in order; in `workers` processes if more than one is asked for."""
        rules = self._special_rules(allowed_special, disallowed_special)
        texts = checked_texts(texts)
        if workers > 1:
            to_packed = partial(self._packed_list, rules=rules)
            return encode_in_processes(to_packed, texts, workers, self._encoder.group, Found(self))
        return list(chain.from_iterable(map(unpack_each, self._packed_groups(texts, rules))))

    def encode_to_arrays(
        self,
        texts: Iterable[str | bytes],
        *,
        allowed_special: SpecialNames = (),
        disallowed_special: SpecialNames = (),
    ) -> Iterator["array[int]"]:
        """`encode` of every text, in order, as arrays of unsigned integers: faster than lists, and 4 bytes an id.

        Texts are read ahead, about a million characters.
        """
        rules = self._special_rules(allowed_special, disallowed_special)
        groups = self._packed_groups(checked_texts(texts), rules)
        return (array("I", packed) for group in groups for packed in group)

    def encode_pretoken(self, piece: bytes) -> list[int]:
        """The ids of `piece` as one pretoken, whatever the pattern would make of it."""
        return unpack(self._segmenter.segment([piece])[0])

    def encode_with_offsets(
        self,
        text: str | bytes,
        *,
        allowed_special: SpecialNames = (),
        disallowed_special: SpecialNames = (),
    ) -> list[tuple[int, int, int]]:
        """(id, start, end) of every token: text[start:end] is what it stands for.

        Of a str they count characters; tokens that share a character overlap, as in Hugging Face's tokenizers.
        """
        ids = self.encode(text, allowed_special=allowed_special, disallowed_special=disallowed_special)
        return with_offsets(ids, self.vocabulary.bytes_of, characters=isinstance(text, str))

    def split(self, text: str | bytes) -> list[bytes]:
        """The byte strings of the tokens of `text`; they join to its UTF-8 bytes."""
        return [self.vocabulary.bytes_of[index] for index in self.encode(text)]

    # Decoding

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes that `ids` stand for; a special token gives its name.

        Raises:
            GqvaeError: an id is not in the vocabulary.
        """
        return self.vocabulary.decode(ids)

    def decode(self, ids: Iterable[int], errors: str = "replace") -> str:
        """`decode_bytes` as text. Ids may end within a character: `errors` is that of `bytes.decode`."""
        try:
            return self.decode_bytes(ids).decode("utf-8", errors)
        except UnicodeDecodeError as error:
            raise GqvaeError(f"the ids do not decode to valid UTF-8: {error}") from error

    def decode_batch(self, batch: Iterable[Iterable[int]], errors: str = "replace") -> list[str]:
        """`decode` of every list of ids, in order."""
        return [self.decode(ids, errors) for ids in batch]

    # Files

    def save(self, folder: str | Path) -> Path:
        """Write the tokenizer to `folder/gqvae.json`, with samples it must re-encode when loaded."""
        return artifact.write(Path(folder), self._content())

    @classmethod
    def load(cls, folder: str | Path) -> "Tokenizer":
        """Read `folder/gqvae.json` (or that file itself), check it and run its self-test.

        Raises:
            GqvaeError: the file is missing, damaged or out of range, or fails its self-test.
        """
        path = Path(folder)
        path = path / artifact.FILE_NAME if path.is_dir() else path
        content = artifact.read(path)
        try:
            tokenizer = cls(content.vocabulary, content.scores, content.pattern, content.name, content.provenance)
        except GqvaeError as error:
            raise GqvaeError(f"{path}: {error}") from error
        tokenizer.sha256 = content.sha256  # samples of other versions may differ from ours
        for sample, ids in content.self_test:
            if tokenizer.encode(sample) != ids:
                raise GqvaeError(f"{path}: self-test failed: {sample[:40]!r} no longer encodes to its ids")
        return tokenizer

    # The inside

    def _content(self) -> artifact.Content:
        texts = [*(text.encode() for text in AWKWARD_TEXT), *AWKWARD_BYTES]
        samples = [(text, self.encode(text)) for text in texts]
        return artifact.Content(self.vocabulary, list(self.scores), self.pattern, self.name, self.provenance, samples)

    @cached_property
    def _segmenter(self) -> Segmenter:
        return Segmenter(self.vocabulary.plain_tokens, self.scores)

    def _special_names(self, names: SpecialNames) -> frozenset[str]:
        known = self.vocabulary.special_ids
        if names == "all":
            return frozenset(known)
        if isinstance(names, str):
            raise GqvaeError(f'special tokens are given as a collection of names or "all", not as {names!r}')
        for name in names:
            if name not in known:
                raise GqvaeError(f"{name!r} is not a special token of {self.name}; it has {list(known)}")
        return frozenset(names)

    def _special_rules(self, allowed: SpecialNames, disallowed: SpecialNames) -> _SpecialRules:
        """The names that become their special id, and those that may not be in the text."""
        allow, refuse = self._special_names(allowed), self._special_names(disallowed)
        return allow, refuse - allow if disallowed == "all" else refuse

    def _packed_groups(self, texts: Iterable[str | bytes], rules: _SpecialRules) -> Iterator[list[bytes]]:
        """The ids of each text, packed, for some of them at a time."""
        allowed, refused = rules
        decoded = (decoded_text(text, refused) for text in texts)
        if allowed:
            return ([self._packed(text, allowed)] for text in decoded)
        return self._encoder.packed_groups(decoded)

    def _packed_list(self, texts: Iterable[str | bytes], rules: _SpecialRules) -> list[bytes]:
        return list(chain.from_iterable(self._packed_groups(texts, rules)))

    def _packed(self, text: str, allowed: frozenset[str]) -> bytes:
        if not allowed:
            return self._encoder.packed(text)
        ways = self._encoder.packed, lambda name: pack([self.vocabulary.special_ids[name]])
        # the pattern is one group, so every second part is a special token
        return b"".join(ways[index % 2](part) for index, part in enumerate(special_pattern(allowed).split(text)))


class Found:
    """What a tokenizer finds out, for its copies in other processes (a `gqvae.parallel.Learner`)."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def news(self) -> Any:
        return self._tokenizer._encoder.news()

    def learn(self, news: Any) -> None:
        self._tokenizer._encoder.learn(news)

    def quiet(self) -> None:
        self._tokenizer._encoder.quiet()
