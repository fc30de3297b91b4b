"""`python -m gqvae`: the command line."""

from gqvae.cli import main

main()
