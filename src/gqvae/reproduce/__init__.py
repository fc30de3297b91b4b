"""`gqvae reproduce`: the comparison of the paper, and a stricter one, on any text.

settings -> plan (which cells there are) -> cells (each made once, in a process of its own) -> results -> report.

settings.py    what is compared, and how large
plan.py        which cells there are, and what each needs
cells.py       what a cell does
contenders.py  each tokenizer, made and measured; learned.py: one of ours, trained
probe.py       a language model on one tokenizer's ids
encoded.py     a text as one tokenizer's ids, on disk
schedule.py    the cells, several at once, each in a process of its own (process.py)
workspace.py   the folder: what is given, and what finished cells left
results.py     results.json; statistics.py: means over seeds, and their differences
report.py      report.html, with figures.py
run.py         all of it
"""
