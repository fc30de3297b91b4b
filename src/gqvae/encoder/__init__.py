"""Text to ids: what a `gqvae.Tokenizer` runs on.

encoder.py       chooses: words for a little text, columns for much
words.py         a look-up a word, in plain Python
columns.py       the same for many words at once, with Arrow
segmentation.py  what was not looked up before: chooses between the next two
automaton.py     one pretoken, reading each byte once
lockstep.py      many pretokens at once, with numpy
viterbi.py       the definition of what these two find
packed.py        ids as bytes
processes.py     all of it in several processes
"""

from gqvae.encoder.encoder import Encoder

__all__ = ["Encoder"]
