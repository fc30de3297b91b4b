"""`gqvae compare-quantizers`: every quantizer on one corpus, with one budget and several seeds.

settings, arms -> plan -> cells (each made once, in a process of its own) -> results -> table.

settings.py   what is compared, and how large
arms.py       quantizers, and ways to start and move their codes
cells.py      trainings, and costs of a step (cost.py)
results.py    results.json and its tables; figure.py: the use of codes by rank
run.py        all of it; the folder and the processes are those of `gqvae.reproduce`
"""
