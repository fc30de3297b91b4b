"""`gqvae reproduce`: the comparison of the paper, and a stricter one, on any text.

settings -> plan (which cells there are) -> cells (each made once, in a process of its own) -> results -> report.
"""
