"""`gqvae compare-quantizers`: every quantizer on one corpus, with one budget and several seeds.

settings, arms -> plan -> cells (each made once, in a process of its own) -> results -> table.
"""
