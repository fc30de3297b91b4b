"""The comparison of quantizers: its plan, its table, and a small one from end to end."""

import json
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import pytest

from gqvae.cli import main
from gqvae.errors import GqvaeError
from gqvae.files import read_json
from gqvae.learn.quantizers import registry
from gqvae.reproduce.learned import trained
from gqvae.zoo.arms import ARMS, DEFAULT
from gqvae.zoo.cells import Cost, Training, ZooSpace, cell_of, config_of, plan, run_cell
from gqvae.zoo.figure import use_by_rank
from gqvae.zoo.results import _differences, cost_table, table, tables
from gqvae.zoo.settings import ZooSettings, arm

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "runs" / "results"
SMALL = [
    "arms=cosine,fsq", "seeds=0,1", "steps=8", "vocab_size=300", "cost_sizes=40", "cost_steps=1", "cost_symbols=64",
    "held_out=0.2",
    ("model=model.width=16,model.heads=2,model.encoder_layers=1,model.decoder_layers=1,model.decoder_width=16,"
    "model.character_width=8,model.longest_token=6,pretokens.window=8,training.batch_symbols=128,"
    "quantizer.warmup_steps=3,quantizer.revive_every=2"),
]  # fmt: skip


def test_every_arm_is_a_valid_configuration_and_every_quantizer_has_one() -> None:
    settings = ZooSettings()
    configs = [config_of(settings, key, 0) for key in ARMS]
    for config in configs:
        registry.check(config)
    assert {config.quantizer.name for config in configs} == set(registry.OURS)
    assert len({json.dumps(config.to_dict()) for config in configs}) == len(ARMS)


def test_the_plan_has_each_cell_once_and_the_first_seed_first() -> None:
    settings = ZooSettings(arms=("cosine", "cosine-kmeans", "fsq"), seeds=(5, 1), cost_sizes=(10, 20))
    cells = plan(settings, {})
    assert [cell.key for cell in cells if isinstance(cell, Training)][:3] == [
        "cosine-seed5",
        "cosine-kmeans-seed5",
        "fsq-seed5",
    ]
    assert len({cell.key for cell in cells}) == len(cells) == 3 * 2 + 2 * 2
    assert next(cell.key for cell in cells if isinstance(cell, Cost)) == "cosine-cost10"
    assert all(cell_of(settings, cell.key) == cell for cell in cells)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["arms=cosine,magic"], "there is no 'magic'; there are: cosine"),
        (["seeds=1,1"], "seeds must be different"),
        (["arms=fsq,fsq"], "arms must be different"),
        (["cost_sizes=10,10"], "cost_sizes must be different"),
        (["model=model.nope=3"], "unknown setting 'model.nope'"),
        (["vocab_size=10"], "at least 258"),
        (["cost_sizes=0"], "cost_sizes must be positive"),
        (["steps=0"], "steps must be positive"),
    ],
)
def test_bad_settings_are_refused(settings: list[str], message: str) -> None:
    with pytest.raises(GqvaeError, match=message):
        ZooSettings().override(settings)


def test_a_quantizer_of_another_package_is_an_arm_by_its_name() -> None:
    assert arm("somebody's").settings == ("quantizer.name=somebody's",)


def training(arm: str, seed: int, rate: float) -> dict[str, Any]:
    network = {
        "bytes_per_token": rate, "exact_codes": 0.9, "codes_used": 5, "perplexity": 3.0, "near_duplicates": 0.0,
        "duplicate_strings": 0.5, "movement": None,
    }  # fmt: skip
    stages = {"viterbi, nearest few codes, fallback": rate, "strings of codes alone, fewest tokens": rate}
    return {
        "arm": arm, "seed": seed, "mode": "viterbi", "network": network, "stages": stages,
        "codebook": {"codes": 10, "useful": 4},
        "tokenizer": {"bytes_per_token": rate, "lossless": True}, "seconds": 1.0,
    }  # fmt: skip


def test_only_differences_beyond_their_interval_are_marked() -> None:
    rates = {DEFAULT: (2.0, 2.1, 1.9), "fsq": (1.0, 1.05, 0.95), "ema": (2.1, 1.8, 2.0)}
    found = [training(key, seed, rate) for key, values in rates.items() for seed, rate in enumerate(values)]
    rows = _differences(tuple(rates), found)
    verdicts = {row["arm"]: row["verdict"] for row in rows if row["measure"] == "network_bytes_per_token"}
    assert verdicts == {"fsq": "lower", "ema": "no difference"}
    assert not [row for row in rows if row["measure"] == "movement"]


@pytest.mark.parametrize("arms", [1, 5, 7])
def test_the_picture_has_a_panel_for_each(arms: int) -> None:
    ranks = {"use_by_rank": [0.5, 0.2], "ideal_by_rank": [0.4, 0.3]}
    found = [{"label": str(number), "use_by_rank": [ranks]} for number in range(arms)]
    figure = use_by_rank({"arms": [*found, {"label": "failed", "use_by_rank": []}]})
    assert figure is not None
    assert [panel.get_title() for panel in figure.axes if panel.axison] == [str(number) for number in range(arms)]
    assert use_by_rank({"arms": []}) is None


@pytest.mark.parametrize("path", sorted(RESULTS.glob("quantizers-*.json")), ids=lambda path: str(path.stem))
def test_the_page_has_the_tables_of_the_results(path: Path) -> None:
    page = (ROOT / "docs" / "quantizers.md").read_text(encoding="utf-8")
    results = json.loads(path.read_text(encoding="utf-8"))
    assert table(results) in page
    assert not results["costs"] or cost_table(results) in page
    assert all(row["lossless"] for row in results["arms"])


def test_a_comparison_from_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second call has nothing left to do, and needs the text no more."""
    text = tmp_path / "text.txt"
    text.write_text("\n<|endoftext|>\n".join(topics[name][:900] for name in sorted(topics)[:30]))
    command = ["compare-quantizers", str(text), "--out", str(tmp_path / "out")]
    for setting in SMALL:
        command += ["--set", setting]
    for number in range(2):
        if number:  # as a kill before a finished training was cleared away leaves it
            (tmp_path / "out" / "cells" / "cosine-seed0" / "run").mkdir()
        with pytest.raises(SystemExit) as stop:
            main(command)
        assert stop.value.code == 0, capsys.readouterr().err
        printed = capsys.readouterr().out
        results = json.loads((tmp_path / "out" / "results.json").read_text())
        assert printed == f"{table(results)}\n{cost_table(results)}\n"
        assert (tmp_path / "out" / "table.md").read_text() == tables(results) == printed[:-1]
        text.unlink(missing_ok=True)
    assert [(row["arm"], row["seeds"], row["lossless"]) for row in results["arms"]] == [
        ("cosine", 2, True),
        ("fsq", 2, True),
    ]
    assert {(row["arm"], row["codes"]) for row in results["costs"]} == {("cosine", 40), ("fsq", 40)}
    assert all(row["ratio"] > 0 and row["megabytes"] > 0 for row in results["costs"])
    assert {row["arm"] for row in results["differences"]} == {"fsq"}
    assert results["failures"] == []
    assert (tmp_path / "out" / "use_by_rank.png").read_bytes().startswith(b"\x89PNG")
    assert not list((tmp_path / "out" / "cells").glob("*/run"))


def test_a_cell_is_measured_on_held_out_text_and_one_that_was_cut_off_has_no_time(tmp_path: Path) -> None:
    space, settings = ZooSpace(tmp_path / "out"), ZooSettings().override([*SMALL, "arms=cosine", "seeds=0,1"])
    space.prepare(settings, {"inputs": ["text"]}, [topics[name][:900] for name in sorted(topics)[:30]])
    whole, cut_off = (cell_of(settings, f"cosine-seed{seed}") for seed in (0, 1))
    run = trained(space, config_of(settings, "cosine", 1), space.cell(cut_off.key) / "run")
    assert run.pretokens.total_bytes == sum(len(document.encode()) for document in space.training())
    assert run.held_out.total_bytes == sum(len(document.encode()) for document in space.held_out())
    times = [run_cell(space, cell)["seconds"] for cell in (whole, cut_off)]
    assert times[0] > 0
    assert times[1] is None
    assert read_json(space.cell(whole.key) / "tokenizer" / "report.json")["measured_on"] == "held-out text"
