"""Which strings become the vocabulary: the useful ones of the codebook, then what the segmentation needs most."""

from collections import Counter
from collections.abc import Iterable, Sequence

from gqvae.config import SPECIALS
from gqvae.errors import GqvaeError
from gqvae.needs import needs, usage, worths
from gqvae.pretokens import PretokenTable
from gqvae.spelling import spell
from gqvae.vocabulary import Vocabulary

GIVEN = {bytes([value]) for value in range(256)} | {name.encode() for name in SPECIALS}
"""Strings that have their ids anyway."""


def choose(strings: Counter[bytes], table: PretokenTable, size: int | None, longest: int) -> list[bytes]:
    """The learned strings of a vocabulary of `size` ids: the best of `strings` (with their uses), then filled up.

    Raises GqvaeError when the text has not enough different spans for so many ids.
    """
    if size is None:
        return sorted(strings)
    room = size - 256 - len(SPECIALS)
    if room < 1:
        raise GqvaeError(f"a vocabulary of {size} ids has no room for learned strings; ask for more")
    value = worths(strings, strings.keys(), longest)
    chosen = set(sorted(strings, key=lambda string: (-value[string], string))[:room])
    counts = table.counts.tolist()
    # needs overlap, so each round fills half of what is missing; it ends, as every round leaves fewer tokens
    while True:
        spelled = [(spell(piece, chosen, longest), count) for piece, count in zip(table.pieces, counts, strict=True)]
        used = usage(spelled)
        chosen = {string for string in chosen if used[string]}
        missing = room - len(chosen)
        if not missing:
            return sorted(chosen)
        wanted = needs(spelled, chosen | GIVEN, longest)
        if not wanted:
            raise GqvaeError(
                f"the text has use for {len(chosen) + 256 + len(SPECIALS)} ids, not {size}: "
                "lower --vocab-size, or train on more"
            )
        neediest = sorted(wanted, key=lambda span: (-wanted[span], span))
        chosen |= set(neediest[: missing if missing < 8 else (missing + 1) // 2])


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
