"""Which strings become the vocabulary: the useful ones of the codebook, then what the segmentation needs most.

Strings are of symbols (`gqvae.learn.alphabet`); `text_of` gives the bytes they stand for. Two strings of tokens may
stand for the same bytes: one of them is enough.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from gqvae.config import SPECIALS
from gqvae.errors import GqvaeError
from gqvae.needs import fewest_tokens, neediest, needs, usage, worths
from gqvae.vocabulary import BYTES, MAX_TOKEN_BYTES, Vocabulary

TextOf = Callable[[str], bytes]
Weighted = Sequence[tuple[str, float]]
"""Pretokens and their occurrences."""

GIVEN = {bytes([value]) for value in range(BYTES)} | {name.encode() for name in SPECIALS}
"""Texts that have their ids anyway."""
SINGLE_BYTES = {chr(value) for value in range(BYTES)}


def choose(strings: Counter[str], pretokens: Weighted, size: int, longest: int, text_of: TextOf) -> list[str]:
    """The learned strings of a vocabulary of `size` ids: the best of `strings` (with their uses), then filled up with
    the spans that the weighted `pretokens` need most.

    Raises GqvaeError when the text has not enough different spans for so many ids.
    """
    room, chosen = size - len(GIVEN), set(best(strings, size, longest, text_of))
    # needs overlap, so each round fills half of what is missing; it ends, as every round leaves fewer tokens
    while True:
        spelled = fewest_tokens(pretokens, chosen, longest)
        used = usage(spelled)
        chosen = {string for string in chosen if used[string]}
        missing = room - len(chosen)
        if not missing:
            return sorted(chosen)
        wanted = needs(spelled, chosen | SINGLE_BYTES, longest)
        most_wanted = _new(neediest(wanted), chosen, text_of, missing if missing < 8 else (missing + 1) // 2)
        if not most_wanted:
            raise GqvaeError(
                f"the text has use for {len(chosen) + len(GIVEN)} ids, not {size}: lower --vocab-size, or train on more"
            )
        chosen |= set(most_wanted)


def best(strings: Counter[str], size: int, longest: int, text_of: TextOf) -> list[str]:
    """Those of `strings` (with their uses) that save most tokens, for a vocabulary of at most `size` ids."""
    room = size - len(GIVEN)
    if room < 1:
        raise GqvaeError(f"a vocabulary of {size} ids has no room for learned strings; ask for more")
    value = worths(strings, strings.keys(), longest)
    return sorted(_new(sorted(strings, key=lambda string: (-value[string], string)), (), text_of, room))


def in_order_of_use(
    vocabulary: Vocabulary, ids: Sequence[tuple[int, ...]], counts: Iterable[int]
) -> tuple[Vocabulary, list[tuple[int, ...]]]:
    """The same vocabulary with the most used string first, and the ids to match."""
    used: Counter[int] = Counter()
    for row, count in zip(ids, counts, strict=True):
        for id_ in row:
            used[id_] += count
    ordered = sorted(vocabulary.learned, key=lambda string: (-used[vocabulary.id_of[string]], string))
    final = Vocabulary(tuple(ordered), vocabulary.specials)
    new = [final.id_of[token] for token in vocabulary.plain_tokens]
    return final, [tuple(new[id_] for id_ in row) for row in ids]


def _new(candidates: Iterable[str], chosen: Iterable[str], text_of: TextOf, most: int) -> list[str]:
    """The first `most` candidates whose texts are neither given, nor chosen, nor each other's."""
    taken = GIVEN | set(map(text_of, chosen))
    found: list[str] = []
    for string in candidates:
        if len(found) == most:
            break
        text = text_of(string)
        if text not in taken and len(text) <= MAX_TOKEN_BYTES:
            taken.add(text)
            found.append(string)
    return found
