"""The fuzz targets (`fuzz/`) on a few inputs each; `python -m fuzz TARGET` runs them for as long as you like."""

import importlib
import random
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz import harness
from fuzz.inputs import HOSTILE, Choices, altered, as_json, damaged

ROOT = Path(__file__).parent.parent
EXAMPLES = {
    "corpus": 150,
    "encode": 150,
    "export": 150,
    "filters": 30,
    "portable": 60,
    "run_folder": 40,
    "settings": 150,
    "shards": 60,
    "tokenizer_file": 60,
}


@pytest.fixture(scope="module", params=EXAMPLES)
def target(request: pytest.FixtureRequest) -> ModuleType:
    return importlib.import_module(f"fuzz.{request.param}")


def test_every_target_is_run_here() -> None:
    from fuzz.__main__ import TARGETS

    assert list(EXAMPLES) == TARGETS


def test_seeds_and_mutations_break_no_promise(target: ModuleType) -> None:
    count = EXAMPLES[target.__name__.removeprefix("fuzz.")]
    for data in target.SEEDS[:count]:
        target.check(data)

    @settings(max_examples=count, suppress_health_check=list(HealthCheck))
    @given(st.one_of(st.binary(max_size=300), st.integers(0, 2**32)))
    def run(given_: bytes | int) -> None:
        target.check(given_ if isinstance(given_, bytes) else harness.mutated(target.SEEDS, random.Random(given_)))

    run()


def test_a_broken_promise_is_found_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "FOUND", tmp_path)

    def check(data: bytes) -> None:
        assert b"\xff" not in data

    with pytest.raises(AssertionError):
        harness.at_random([b"abc"], check, runs=10_000, seconds=60, seed=0)
    (path,) = tmp_path.iterdir()
    assert b"\xff" in path.read_bytes()


def test_an_input_that_takes_too_much_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "FOUND", tmp_path)
    for bound, message in (("SECONDS", "seconds"), ("MEBIBYTES", "MiB")):
        with monkeypatch.context() as patch:
            patch.setattr(harness, bound, -1)
            with pytest.raises(AssertionError, match=message):
                harness.watched(len, b"")


def test_the_program_runs_without_atheris() -> None:
    code = (
        "import sys, runpy; sys.modules['atheris'] = None; "
        "sys.argv = ['fuzz', 'settings', '--runs', '20']; runpy.run_module('fuzz', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "atheris is not installed" in done.stderr
    assert "20 inputs" in done.stdout


# What makes the inputs


def test_damage_damages_and_alterations_alter() -> None:
    generator, good = random.Random(0), bytes(range(100))
    assert sum(damaged(good, Choices(generator.randbytes(200))) != good for _ in range(100)) > 90
    value = {"a": [1, 2, {"b": None}], "c": "x"}
    kept = as_json(value)
    found = {as_json(altered(value, Choices(generator.randbytes(50)))) for _ in range(500)}
    assert len(found) > 100
    assert as_json(value) == kept
    assert all(as_json(hostile) for hostile in HOSTILE)


def test_choices_run_out_into_zeros() -> None:
    choices = Choices(b"\x05\x01\x00")
    assert [choices.below(4), choices.below(1000), choices.of("abc"), choices.below(10)] == [1, 256, "a", 0]
    assert choices.rest() == b""
