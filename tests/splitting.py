"""Text to be split: what patterns treat specially, and everything else."""

from hypothesis import strategies as st

from gqvae.patterns import PATTERNS

NAMES = sorted(PATTERNS)

# What patterns treat specially is rare in random Unicode, so half of the texts are made of it.
AWKWARD = [
    "'",
    "'s",
    "'LL",
    "'ſ",
    " ",
    "  ",
    "\n",
    "\r\n",
    "\t",
    "\u00a0",
    "\x1c",
    "\x85",
    "\u3000",
    "12",
    "1234",
    "٣",
]
AWKWARD += [
    "½",
    "a",
    "Zé",
    "中文",
    "e\u0301",
    "\u200d",
    "👩\u200d🚀",
    "<|endoftext|>",
    "\0",
    "\ufeff",
    "...",
    "_",
]
AWKWARD += ["\u088f", "\U0003d000"]  # letters of Unicode 17 and 18
texts = st.one_of(st.text(), st.lists(st.sampled_from(AWKWARD), max_size=12).map("".join))
