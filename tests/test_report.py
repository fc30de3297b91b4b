"""The report: everything that was measured is in it, and whatever is missing does not sink it."""

import copy
import math
import random
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from gqvae.reproduce.plan import plan_contenders
from gqvae.reproduce.report import write_report
from gqvae.reproduce.settings import ReproduceSettings
from gqvae.reproduce.statistics import compare, summary

SETTINGS = ReproduceSettings(vocab_size=2048, curve=(1024,), spans=(2, 4))


def made_up() -> dict[str, Any]:
    """Results of every cell, from a formula."""
    draw = random.Random(0)
    tokenizers, probes = [], []
    for number, cell in enumerate(plan_contenders(SETTINGS)):
        rate = 1.0 + math.log(cell.ids / 256) + 0.1 * number
        measures = {
            "name": cell.key, "vocab_size": cell.ids, "documents": 9, "bytes": 90_000, "tokens": round(90_000 / rate),
            "bytes_per_token": rate, "lossless": True, "used_ids": 200, "note": "", "tokens_per_word": 5 / rate,
            "whole_words": 0.5, "split_consistency": 0.99, "renyi_efficiency": 0.6, "entropy_bits": 8.1, "dead_ids": 3,
            "unreachable_ids": 0, "frequencies": [1000 // rank for rank in range(1, 300)], "tokens_per_language": None,
            "parity": None, "relative_speed": 1.5,
        }  # fmt: skip
        tokenizers.append(
            {"key": cell.key, "family": cell.family, "label": cell.label, "role": cell.role, "span": cell.span}
            | {"measures": measures}
        )
        for seed in () if cell.role == "curve" else SETTINGS.seeds:
            points = [
                {
                    "step": step, "bytes": step * 4096, "tokens": step * 1000, "flops": step * 1e9 / rate,
                    "bits_per_byte": 4 / rate**0.1 / step**0.2 + draw.gauss(0, 0.01), "separator_bits": 0.001,
                }
                for step in (10, 30, 100)
            ]  # fmt: skip
            probes.append(
                {"tokenizer": cell.key, "seed": seed, "parameters": 10**6, "embedding_parameters": 10**5}
                | {"context_tokens": 250, "batch_tokens": 1000, "points": points}
            )
    row = {"matched": "vocabulary", "ours": "gqvae-2048", "peer": "bpe-2048"}
    return {
        "gqvae": "0.1.0", "machine": "a test", "config": SETTINGS.to_dict(),
        "corpus": {
            "inputs": ["<b>text</b>.txt"], "documents": 100, "training_bytes": 10**6, "held_out_documents": 9,
            "held_out_bytes": 90_000,
        },
        "tokenizers": tokenizers, "probes": probes, "failures": [],
        "comparisons": [row | compare([1.0, 1.01, 1.02], [1.1, 1.11, 1.13]).to_dict()],
    }  # fmt: skip


class Page(HTMLParser):
    """Checks that tags are closed in order, and collects text and what is referred to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.sources: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.sources += [value for key, value in attributes if key in ("src", "href") and value]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def written(results: dict[str, Any], folder: Path) -> Page:
    write_report(results, folder)
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def test_everything_measured_is_in_the_report(tmp_path: Path) -> None:
    results = made_up()
    page = written(results, tmp_path)
    text = " ".join(page.words)
    for tokenizer in results["tokenizers"]:
        assert tokenizer["label"] in text
        assert f"{tokenizer['measures']['bytes_per_token']:.4f}" in text
    assert "<b>text</b>.txt" in text  # a name is text, not HTML
    assert "lower" in text
    assert "Not measured" not in text
    assert len(page.sources) == 6
    assert all(source.startswith("data:image/svg+xml;base64,") for source in page.sources)
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert len(names) == 12


def test_the_same_results_give_the_same_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_report(made_up(), tmp_path / name)
    files = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*") if path.is_file()]
    assert len(files) == 13
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_what_failed_is_said(tmp_path: Path) -> None:
    results = made_up()
    results |= {"tokenizers": [], "probes": [], "comparisons": []}
    results["failures"] = [{"cell": "gqvae-2048", "error": "no <room>"}]
    text = " ".join(written(results, tmp_path).words)
    assert "gqvae-2048: no <room>" in text
    assert "nothing to compare" in text
    assert text.count("Not measured") == 6


@pytest.mark.parametrize("key", ["tokens_per_word", "whole_words", "split_consistency", "relative_speed"])
def test_a_missing_measure_is_an_empty_cell(key: str, tmp_path: Path) -> None:
    results = made_up()
    del results["tokenizers"][0]["measures"][key]
    results["tokenizers"][1]["measures"][key] = None
    written(results, tmp_path)


def test_languages_notes_and_losses_are_said(tmp_path: Path) -> None:
    results = copy.deepcopy(made_up())
    results["tokenizers"][0]["measures"] |= {
        "tokens_per_language": {"de": 1234, "th": 5678}, "parity": 4.6, "note": "has 300 ids", "lossless": False
    }  # fmt: skip
    text = " ".join(written(results, tmp_path).words)
    assert all(word in text for word in ("de", "th", "1,234", "5,678", "4.60", "has 300 ids", "Not lossless"))


@pytest.mark.parametrize("values", [[1.0, 2.0], [1.1, 1.0, 1.3, 0.9], [5.0, 5.0, 5.0]])
def test_intervals_are_those_of_scipy(values: list[float]) -> None:
    found = summary(values)
    assert found.interval is not None
    if len(set(values)) > 1:
        wanted = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
        assert (found.mean - found.interval, found.mean + found.interval) == pytest.approx((wanted.low, wanted.high))
    else:
        assert found.interval == 0.0


@pytest.mark.parametrize(
    ("ours", "peer", "verdict"),
    [
        ([1.0, 1.1, 1.2], [2.0, 2.1, 2.3, 2.2], "lower"),
        ([2.0, 2.1, 2.3], [1.0, 1.1, 1.2], "higher"),
        ([1.0, 1.2, 1.1], [1.1, 1.15, 1.3], "no difference"),
        ([1.0, 1.0], [1.0, 1.0], "no difference"),
        ([1.0], [2.0, 3.0], "not enough seeds"),
    ],
)
def test_verdicts_follow_welch(ours: list[float], peer: list[float], verdict: str) -> None:
    found = compare(ours, peer)
    assert found.verdict == verdict
    if found.interval:
        wanted = stats.ttest_ind(ours, peer, equal_var=False).confidence_interval(0.95)
        middle = found.difference
        assert (middle - found.interval, middle + found.interval) == pytest.approx((wanted.low, wanted.high))
