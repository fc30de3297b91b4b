"""The vocabulary: a bijection between ids and byte strings, with no holes.

    ids 0..255          the 256 single bytes, so that any input can be spelled
    ids 256..           the learned strings, in the order their maker fixed
    the last ids        the special tokens (never produced by ordinary text)

>>> vocabulary = Vocabulary(learned=(b"th", b"the"))
>>> len(vocabulary), vocabulary.tokens[256], vocabulary.special_ids
(259, b'th', {'<|endoftext|>': 258})
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache

from gqvae.errors import GqvaeError

BYTES = 256
MAX_TOKEN_BYTES = 255  # the Viterbi back-pointers are single bytes
MAX_IDS = 2**21  # eight times the largest vocabulary in common use; bounds what a hostile file can ask for
MAX_SPECIALS = 4096
END_OF_TEXT = "<|endoftext|>"
"""The special token that every tokenizer has unless told otherwise, as GPT-2 calls it."""


@dataclass(frozen=True)
class Vocabulary:
    """The byte strings a tokenizer emits, ordered by id.

    Args:
        learned: strings of 2 to 255 bytes, all different. Their order fixes their ids and is kept.
        specials: names of the special tokens, all different and different (as UTF-8) from every other token.

    Raises:
        GqvaeError: an entry is empty, too long, of the wrong type, repeated, or there are too many.
    """

    learned: tuple[bytes, ...] = ()
    specials: tuple[str, ...] = (END_OF_TEXT,)

    def __post_init__(self) -> None:
        if not isinstance(self.learned, tuple) or not isinstance(self.specials, tuple):
            raise GqvaeError("a vocabulary's `learned` and `specials` must be tuples")
        if len(self) > MAX_IDS or len(self.specials) > MAX_SPECIALS:
            raise GqvaeError(
                f"a vocabulary of {len(self)} ids with {len(self.specials)} specials is too large: "
                f"at most {MAX_IDS} ids and {MAX_SPECIALS} specials"
            )
        _check_learned(self.learned)
        _check_specials(self.specials, set(self.learned))

    def __len__(self) -> int:
        """The number of ids: bytes, learned strings and specials."""
        return BYTES + len(self.learned) + len(self.specials)

    def with_specials(self, names: Iterable[str]) -> "Vocabulary":
        """The same ids, and after them those of the special tokens `names` that are not among them."""
        more = tuple(name for name in dict.fromkeys(names) if name not in self.specials)
        return Vocabulary(self.learned, self.specials + more)

    @cached_property
    def tokens(self) -> tuple[bytes, ...]:
        """The byte string of every id; a special token's is its name as UTF-8."""
        return self.plain_tokens + tuple(name.encode() for name in self.specials)

    @cached_property
    def plain_tokens(self) -> tuple[bytes, ...]:
        """The byte string of every id that text can produce: all but the specials."""
        return tuple(bytes([byte]) for byte in range(BYTES)) + self.learned

    @cached_property
    def bytes_of(self) -> dict[int, bytes]:
        """The byte string of every id: unlike `tokens`, it takes no negative ones."""
        return dict(enumerate(self.tokens))

    @cached_property
    def id_of(self) -> dict[bytes, int]:
        """The id of every byte string; without the specials, which text must not reach."""
        return {token: index for index, token in enumerate(self.plain_tokens)}

    @cached_property
    def special_ids(self) -> dict[str, int]:
        """The id of every special token by name."""
        first = BYTES + len(self.learned)
        return {name: first + index for index, name in enumerate(self.specials)}

    def decode(self, ids: Iterable[int]) -> bytes:
        """The bytes that `ids` stand for; a special token gives its name. Raises GqvaeError for what is no id."""
        numbers = ids.tolist() if hasattr(ids, "tolist") else ids  # of a tensor, which is made of tensors
        try:
            return b"".join(map(self.bytes_of.__getitem__, numbers))
        except KeyError as error:
            raise GqvaeError(f"{error} is no id of this tokenizer: ids are 0 to {len(self) - 1}") from error
        except TypeError as error:
            raise GqvaeError(f"no ids ({error}): give one list of them") from error


@lru_cache(maxsize=64)
def special_pattern(names: frozenset[str]) -> re.Pattern[str]:
    """Splits a text into ordinary parts and, every second one, special tokens; the longest where several fit."""
    longest_first = sorted(names, key=lambda name: (-len(name), name))
    return re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")


def _check_learned(learned: tuple[bytes, ...]) -> None:
    seen: dict[bytes, int] = {}
    for index, token in enumerate(learned):
        if type(token) is not bytes:
            raise GqvaeError(f"learned token {index} is a {type(token).__name__}, not bytes")
        if not 2 <= len(token) <= MAX_TOKEN_BYTES:
            raise GqvaeError(
                f"learned token {index} has {len(token)} bytes: it must have 2 to {MAX_TOKEN_BYTES} "
                "(the single bytes are always there)"
            )
        if token in seen:
            raise GqvaeError(f"learned tokens {seen[token]} and {index} are the same: {token!r}")
        seen[token] = index


def _check_specials(specials: tuple[str, ...], learned: set[bytes]) -> None:
    seen: set[str] = set()
    for index, name in enumerate(specials):
        if type(name) is not str:
            raise GqvaeError(f"special token {index} is a {type(name).__name__}, not a str")
        try:
            encoded = name.encode()
        except UnicodeEncodeError as error:
            raise GqvaeError(f"special token {index} holds a lone surrogate: {name!r}") from error
        if not 2 <= len(encoded) <= MAX_TOKEN_BYTES or not name.isprintable():
            raise GqvaeError(f"special token {name!r} must be 2 to {MAX_TOKEN_BYTES} bytes of printable text")
        if encoded in learned:
            # One string, two ids: a reader of ids could no longer tell text from the special token.
            raise GqvaeError(f"special token {name!r} is also a learned token; drop one of the two")
        if name in seen:
            raise GqvaeError(f"special token {name!r} appears twice")
        seen.add(name)
