"""Counting and encoding on a Ray cluster of two worker processes: the same bytes as here, whoever dies."""

import gc
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import ray

from gqvae.cli import main
from gqvae.cluster import ray_map
from gqvae.errors import GqvaeError
from gqvae.names import load
from gqvae.pretokens import Counting
from gqvae.shards import encode_corpus

pytestmark = pytest.mark.slow
DOCUMENTS = [f"The {n} cats' 日本 {'word ' * (n % 50)}\n\n" for n in range(4_000)]


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_AUTH_MODE"] = "disabled"
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # which workers cannot import
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100_000_000)
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # Ray leaves it to the collector to wait for its processes
        ray.shutdown()
        gc.collect()


def map_with_a_death(function: Callable[[Any], Any], items: Iterable[Any], marker: Path) -> Iterator[Any]:
    return ray_map(partial(_die_once, function, marker), items)


def _die_once(function: Callable[[Any], Any], marker: Path, item: Any) -> Any:
    """Kill the worker process in the middle of the third task that comes here."""
    with marker.open("a") as file:
        file.write("x")
    if marker.stat().st_size == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return function(item)


def test_a_table_is_the_same_to_the_byte_when_a_worker_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gqvae.pretokens.batches._BATCH", 50_000)
    here, there, marker = tmp_path / "here.parquet", tmp_path / "there.parquet", tmp_path / "tasks"
    Counting(workers=2).to_file(DOCUMENTS, here, "gpt2", 16)
    Counting(map=partial(map_with_a_death, marker=marker)).to_file(DOCUMENTS, there, "gpt2", 16)
    assert marker.stat().st_size > 3
    assert here.read_bytes() == there.read_bytes()


def test_shards_are_the_same_to_the_byte_when_a_worker_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gqvae.shards.plan._BATCH_BYTES", 50_000)
    tokenizer, marker = load("tinystories-1024"), tmp_path / "tasks"
    encode_corpus(tokenizer, DOCUMENTS, tmp_path / "here", shard_bytes=200_000)
    ordered = partial(map_with_a_death, marker=marker)
    encode_corpus(tokenizer, DOCUMENTS, tmp_path / "there", shard_bytes=200_000, map=ordered)
    assert marker.stat().st_size > 3
    names = sorted(path.name for path in (tmp_path / "here").glob("0*"))
    assert len(names) > 2
    for name in [*names, "index.json"]:
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()


def test_a_task_that_always_dies_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gqvae.cluster.RETRIES", 0)
    with pytest.raises(GqvaeError, match="a process on the Ray cluster died 1 times"):
        list(ray_map(_die, [1]))


def _die(item: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_an_error_in_a_task_is_that_error() -> None:
    with pytest.raises(GqvaeError, match="window is 0"):
        list(ray_map(partial(_cut, b"ab"), [0]))


def _cut(piece: bytes, window: int) -> list[bytes]:
    from gqvae.patterns import cut

    return cut(piece, window)


@pytest.mark.parametrize("verb", [["count"], ["encode", "tinystories-1024"]])
def test_the_command_line_runs_on_the_cluster(verb: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("<|endoftext|>\n".join(DOCUMENTS[:50]))
    for engine, options in (("local", ["--workers", "1"]), ("ray", [])):
        out = tmp_path / engine / "out"
        arguments = [*verb, str(tmp_path / "a.txt"), "--out", str(out), "--engine", engine, *options]
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 0
    local, there = (
        sorted(path for path in (tmp_path / name).rglob("*") if path.is_file()) for name in ("local", "ray")
    )
    assert [path.name for path in local] == [path.name for path in there]
    assert [path.read_bytes() for path in local] == [path.read_bytes() for path in there]
