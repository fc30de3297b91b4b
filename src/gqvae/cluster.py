"""Work shared out over the machines of a Ray cluster, in order and in bounded memory.

The text is read, hashed and put in order in one place, here; what is done to a batch of it, which takes nearly all of
the time, is a task that any machine may compute, and that another one repeats when a process or a machine dies.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar

from gqvae.errors import GqvaeError, to_install

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

RETRIES = 5  # of a task whose process dies
_AHEAD = 3  # tasks a processor that wait or run


def ray_map(function: Callable[[_Item], _Result], items: Iterable[_Item], /) -> Iterator[_Result]:
    """Like the builtin `map`, over the Ray cluster that this process is connected to, or that RAY_ADDRESS names, or
    over one on this machine that lasts as long as the map.

    Raises:
        GqvaeError: Ray is not installed, or the process of a task died again and again.
    """
    with _connected() as ray:
        task = ray.remote(max_retries=RETRIES, num_cpus=1)(_call)
        # In a list: so each process fetches the function, which may hold a tokenizer, once and not for every task.
        shared = [ray.put(function)]
        most = _AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
        waiting: deque[Any] = deque()
        try:
            for item in items:
                waiting.append(task.remote(shared, item))
                if len(waiting) > most:
                    yield ray.get(waiting.popleft())
            while waiting:
                yield ray.get(waiting.popleft())
        except ray.exceptions.WorkerCrashedError as error:
            raise GqvaeError(f"a process on the Ray cluster died {RETRIES + 1} times (out of memory?)") from error


@contextmanager
def _connected() -> Iterator[Any]:
    """Ray, connected; disconnected at the end if it was not connected before."""
    try:
        import ray
    except ImportError as error:
        raise GqvaeError(f"the engine ray needs the package: {to_install('ray')}") from error
    if ray.is_initialized():
        yield ray
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent unless asked
    local: dict[str, Any] = {} if "RAY_ADDRESS" in os.environ else {"include_dashboard": False}
    ray.init(log_to_driver=False, configure_logging=False, **local)
    try:
        yield ray
    finally:
        ray.shutdown()


def _call(shared: list[Any], item: Any) -> Any:
    return _fetched(shared[0])(item)


@lru_cache(1)
def _fetched(reference: Any) -> Callable[[Any], Any]:
    import ray

    function: Callable[[Any], Any] = ray.get(reference)
    return function
