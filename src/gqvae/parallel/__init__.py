"""Work shared out over processes, in order and in bounded memory.

pool.py    the map, as the process that asks for it sees it
worker.py  what its children do
shelf.py   memory that both share, to hand over objects
"""

from gqvae.parallel.pool import Elsewhere, map_in_processes
from gqvae.parallel.worker import Learner

__all__ = ["Elsewhere", "Learner", "map_in_processes"]
