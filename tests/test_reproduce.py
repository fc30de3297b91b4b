"""The plan of a comparison, its schedule, and one small comparison from end to end."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from gqvae.corpus import Corpus
from gqvae.errors import GqvaeError
from gqvae.files import locked, read_json, write_json
from gqvae.reproduce.plan import Contender, Probe, best_fixed, cell_of, plan, plan_contenders
from gqvae.reproduce.results import bits_at, pairs
from gqvae.reproduce.settings import SIZES, ReproduceSettings
from gqvae.reproduce.workspace import PARALLEL, Workspace

SMALL = (
    "vocab_size=700", "curve=", "spans=2,3", "superword=false", "seeds=4", "held_out=0.2", "steps=12", "fixed_steps=12",
    "tokenizer=model.width=16,model.decoder_width=16,quantizer.warmup_steps=4,quantizer.revive_every=4",
    "probe.width=16", "probe.layers=1", "probe.heads=2", "probe.context_bytes=64", "probe.batch_bytes=512",
    "probe.epochs=0.2", "probe.points=3",
)  # fmt: skip
"""Settings of a comparison of seconds."""
SETTINGS = ReproduceSettings().override(
    [*SMALL, "curve=512", "superword=true", "superword_steps=12", "seeds=4,5", "probe.epochs=0.5"]
)


def done(bits: dict[str, float]) -> dict[str, dict[str, Any]]:
    """Finished probes with the first seed."""
    return {f"probe-{key}-seed4": {"points": [{"bits_per_byte": value}]} for key, value in bits.items()}


@pytest.mark.parametrize("settings", [SETTINGS, *SIZES.values()])
def test_needs_come_before_what_needs_them(settings: ReproduceSettings) -> None:
    cells = plan(settings, {})
    keys = [cell.key for cell in cells]
    assert len(set(keys)) == len(keys)
    for number, cell in enumerate(cells):
        assert set(cell.needs) <= set(keys[:number])
        assert cell_of(settings, cell.key) == cell


def test_all_that_is_compared_is_planned() -> None:
    cells = plan(SETTINGS, {})
    contenders = {cell.key for cell in cells if isinstance(cell, Contender)}
    assert contenders == {
        *("gqvae-512", "gqvae-700", "superword-700", "fixed-2", "fixed-3", "bpe-512", "bpe-700", "bpe-matched"),
        *("unigram-700", "wordpiece-700", "superbpe-700", "bytes"),
    }
    probes = {(cell.contender, cell.seed) for cell in cells if isinstance(cell, Probe)}
    once = {"fixed-2", "fixed-3"}  # until it is known which is best
    assert probes == {(key, 4) for key in contenders - {"gqvae-512", "bpe-512"}} | {
        (key, 5) for key in contenders - {"gqvae-512", "bpe-512"} - once
    }


def test_the_best_fixed_length_gets_the_other_seeds() -> None:
    assert best_fixed(SETTINGS, {}) is None
    assert best_fixed(SETTINGS, done({"fixed-2": 2.0})) is None
    finished = done({"fixed-2": 2.0, "fixed-3": 1.5})
    assert best_fixed(SETTINGS, finished) == "fixed-3"
    assert "probe-fixed-3-seed5" in [cell.key for cell in plan(SETTINGS, finished)]
    assert ("vocabulary", "gqvae-700", "fixed-3") in pairs(SETTINGS, finished)
    one_failed = {**done({"fixed-2": 2.0}), "probe-fixed-3-seed4": {"failed": True}}
    assert best_fixed(SETTINGS, one_failed) == "fixed-2"


def test_bits_between_two_measurements() -> None:
    points = [{"flops": 10.0**n, "bits_per_byte": 5.0 - n} for n in (1, 2, 3)]
    assert bits_at(points, 10.0) == 4.0
    assert bits_at(points, 1000.0) == 2.0
    assert bits_at(points, 10**1.5) == pytest.approx(3.5)
    assert bits_at(points[:1], 10.0) == 4.0
    with pytest.raises(ValueError, match="not between"):
        bits_at(points, 5.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("seeds=", "seeds must lie between"),
        ("seeds=36893488147419103232", "seeds must lie between"),
        ("seeds=1,1", "seeds must be different"),
        ("spans=4,4", "spans must be different"),
        ("spans=1,2", "spans must be at least 2"),
        ("tokenizer=objective.alfa=3", "unknown setting 'objective.alfa'"),
        ("vocab_size=9", "vocab_size and curve"),
        ("vocab_size=400", "superword needs"),
        ("probe.heads=3", "width"),
        ("probe.batch_bytes=1000", "multiple of context_bytes"),
        ("held_out=2", "between 0 and 1"),
    ],
)
def test_bad_settings_are_told(change: str, message: str) -> None:
    with pytest.raises(GqvaeError, match=message):
        SETTINGS.override([change])


def test_tokenizers_across_words_are_compared_if_asked() -> None:
    cells = {cell.key: cell for cell in plan_contenders(SETTINGS.override(["superword=true", "vocab_size=1024"]))}
    without = {cell.key for cell in plan_contenders(SETTINGS.override(["superword=false", "vocab_size=1024"]))}
    assert cells.keys() - without == {"superword-1024", "superbpe-1024"}
    base = SETTINGS.override(["vocab_size=1024"]).base_size
    for curve, needs in ((f"{base}", (f"gqvae-{base}",)), ("", ())):
        settings = SETTINGS.override(["superword=true", "vocab_size=1024", f"curve={curve}"])
        (superword,) = (cell for cell in plan_contenders(settings) if cell.key == "superword-1024")
        assert superword.needs == needs


def test_settings_survive_json() -> None:
    assert ReproduceSettings.from_dict(json.loads(json.dumps(SETTINGS.to_dict()))) == SETTINGS
    assert SETTINGS.override(["seeds=7,8,9", "curve="]).seeds == (7, 8, 9)


def test_a_folder_is_begun_once(tmp_path: Path) -> None:
    space = Workspace(tmp_path / "out")
    documents = [f"document {n} " * 9 for n in range(40)]
    space.prepare(SETTINGS, {"inputs": ["a.txt"]}, documents)
    assert sorted(space.training() + space.held_out()) == sorted(documents)
    space.prepare(SETTINGS, {"inputs": ["a.txt"]}, iter(()))  # goes on, and does not read the text again
    with pytest.raises(GqvaeError, match=r"begun on a\.txt"):
        space.prepare(SETTINGS, {"inputs": ["b.txt"]}, documents)
    old = Workspace(tmp_path / "old")
    write_json(old.about, {"inputs": ["a.txt"], "settings": {}})
    with pytest.raises(GqvaeError, match=r"settings\.json is not of this version"):
        old.prepare(SETTINGS, {"inputs": ["a.txt"]}, documents)
    read = Workspace(tmp_path / "read")
    read.prepare(SETTINGS, {"inputs": ["a.txt"], "separator": None}, documents)
    with pytest.raises(GqvaeError, match=r"begun on a\.txt \(separator None\): give the same"):
        read.prepare(SETTINGS, {"inputs": ["a.txt"], "separator": "x"}, documents)
    with pytest.raises(GqvaeError, match="steps: 12, not 13"):
        space.prepare(SETTINGS.override(["steps=13"]), {"inputs": ["a.txt"]}, documents)
    with pytest.raises(GqvaeError, match="holds other files"):
        Workspace(tmp_path).prepare(SETTINGS, {"inputs": ["a.txt"]}, documents)
    with pytest.raises(GqvaeError, match="no document is held-out text"):
        Workspace(tmp_path / "one").prepare(SETTINGS, {"inputs": ["a.txt"]}, documents[:1])


def test_a_folder_that_was_refused_or_killed_early_is_begun_again(tmp_path: Path) -> None:
    space = Workspace(tmp_path / "out")
    documents = [f"document {n} " * 9 for n in range(40)]
    with pytest.raises(GqvaeError, match="no document is held-out text"):
        space.prepare(SETTINGS, {"inputs": ["a.txt"]}, documents[:1])
    (space.folder / "corpus" / "notes.txt").touch()
    with pytest.raises(GqvaeError, match="holds other files"):
        space.prepare(SETTINGS, {"inputs": ["a.txt"]}, documents)
    (space.folder / "corpus" / "notes.txt").unlink()
    space.prepare(SETTINGS, {"inputs": ["a.txt"]}, documents)
    assert sorted(space.training() + space.held_out()) == sorted(documents)


def test_another_parallel_text_is_refused(tmp_path: Path) -> None:
    space, documents = Workspace(tmp_path / "out"), [f"document {n} " * 9 for n in range(40)]
    one, other = tmp_path / "one.jsonl", tmp_path / "other.jsonl"
    one.write_text("1")
    other.write_text("2")
    space.prepare(SETTINGS, {"inputs": ["a.txt"]}, documents, {PARALLEL: one})
    space.prepare(SETTINGS, {"inputs": ["a.txt"]}, documents, {PARALLEL: one})
    assert space.parallel.read_text() == "1"
    for changed in (other, None):
        with pytest.raises(GqvaeError, match=r"begun with another parallel\.jsonl"):
            space.prepare(SETTINGS, {"inputs": ["a.txt"]}, documents, {PARALLEL: changed})
    without = Workspace(tmp_path / "without")
    without.prepare(SETTINGS, {"inputs": ["a.txt"]}, documents, {PARALLEL: None})
    with pytest.raises(GqvaeError, match="begun with another"):
        without.prepare(SETTINGS, {"inputs": ["a.txt"]}, documents, {PARALLEL: one})


def test_only_the_first_bytes_are_used(tmp_path: Path) -> None:
    space = Workspace(tmp_path / "out")
    few = SETTINGS.override(["most_bytes=1000"])
    with pytest.raises(GqvaeError, match="the first document has 1001 bytes: set most_bytes, which is 1000, higher"):
        space.prepare(few, {"inputs": ["a.txt"]}, ["x" * 1001, "y"])
    space.prepare(few, {"inputs": ["a.txt"]}, (f"{n:09}\n" for n in range(10**6)))
    assert len(space.training() + space.held_out()) == 100


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(GqvaeError, match="at work"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


@pytest.fixture(scope="module")
def compared(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A comparison that was killed, and goes on: what was finished is kept, and one cell cannot work."""
    out = tmp_path_factory.mktemp("reproduced") / "out"
    command = [sys.executable, "-m", "gqvae", "reproduce", *corpus.inputs, "--out", str(out), "--jobs", "2"]
    command += [word for setting in SMALL for word in ("--set", setting)]
    cut_off = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    while not list(out.glob("cells/*/result.json")):
        assert cut_off.poll() is None, "it ended before its first cell was finished"
        time.sleep(0.1)
    os.killpg(cut_off.pid, signal.SIGKILL)
    cut_off.wait()
    kept = {path: path.stat().st_mtime_ns for path in out.glob("cells/*/result.json")}
    damaged = out / "cells" / "fixed-3" / "run" / "config.json"
    damaged.parent.mkdir(parents=True, exist_ok=True)
    damaged.write_text("{")
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 1, finished.stderr
    assert "2 cells failed" in finished.stderr
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert "bits per byte" in finished.stdout
    return out, read_json(out / "results.json")


@pytest.mark.slow
def test_what_fails_does_not_sink_the_rest(compared: tuple[Path, dict[str, Any]]) -> None:
    out, results = compared
    failed = {row["cell"]: row["error"] for row in results["failures"]}
    assert set(failed) == {"fixed-3", "probe-fixed-3-seed4"}
    assert "config.json" in failed["fixed-3"]
    assert "needs fixed-3" in failed["probe-fixed-3-seed4"]
    keys = {"gqvae-700", "fixed-2", "bpe-700", "bpe-matched", "unigram-700", "wordpiece-700", "bytes"}
    assert {tokenizer["key"] for tokenizer in results["tokenizers"]} == keys
    assert {(probe["tokenizer"], probe["seed"]) for probe in results["probes"]} == {(key, 4) for key in keys}
    matched = {(row["matched"], row["peer"]) for row in results["comparisons"]}
    assert {("vocabulary", "bpe-700"), ("vocabulary", "fixed-2"), ("compression", "bpe-matched")} <= matched
    assert "needs fixed-3" in (out / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_its_figures_follow_from_the_ids(compared: tuple[Path, dict[str, Any]]) -> None:
    out, results = compared
    documents = list(Corpus((str(out / "corpus" / "held_out.jsonl"),)).documents())
    size = sum(len(document.encode()) for document in documents)
    assert results["corpus"]["held_out_bytes"] == size
    for tokenizer in results["tokenizers"]:
        ids = pyarrow.parquet.read_table(out / "cells" / tokenizer["key"] / "held_out.parquet")["ids"].to_pylist()
        measures = tokenizer["measures"]
        assert measures["tokens"] == sum(map(len, ids))
        assert measures["bytes_per_token"] == pytest.approx(size / sum(map(len, ids)))
        if "distilled" in tokenizer:
            assert tokenizer["distilled"]["measured_on"] == "held-out text"
        assert measures["used_ids"] == len({id_ for row in ids for id_ in row})
