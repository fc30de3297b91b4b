"""Everything that needs torch: the model, its objectives, training, and distillation to a vocabulary.

To read first, in this order:

segments.py    the mathematics of segmentation: gates, the sum over all segmentations, Viterbi
model.py       the network: encoder, codebook, gater, decoder
objectives.py  the losses: the marginal one, and the paper's
training.py    steps, measures and checkpoints
distill.py     a trained network -> a tokenizer

What they rest on:

alphabet.py    the symbols that the model reads: bytes, or the tokens of another tokenizer (`stacked.py`)
data.py        pretokens -> batches
quantizers/    codebooks, one a file
nearest.py     the search for the nearest codes
linear.py      affine maps
lexicon.py     the string of each code
revival.py     codes that idle move
rate.py        the price of a token, moved to a compression that is asked for
segmenter.py   the network segments pretokens
scores.py      static scores that make plain Viterbi do the same
neural.py      the network as a tokenizer
metrics.py     what a training writes of itself
health.py      what became of the codebook
run.py         the folder of a training
checkpoint.py  its state
team.py        training in several processes
"""
