"""A run's config.json changed by somebody who gives it a right hash: told, and given no memory."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gqvae.corpus import Corpus
from gqvae.errors import GqvaeError
from gqvae.files import digest
from gqvae.learn.distill import distill
from gqvae.learn.run import Run
from gqvae.learn.training import resume


def forge(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change config.json and give it a right hash, as an attacker would."""
    content = json.loads((folder / "config.json").read_text())
    change(content)
    content["sha256"] = digest({key: value for key, value in content.items() if key != "sha256"})
    (folder / "config.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("model", "width", 65_536, "does not fit its config"),
        ("model", "width", 2**40, "at most 65536"),
        ("model", "encoder_layers", 10**18, "at most 1000"),
        ("model", "width", 10**400, "width"),
        ("training", "learning_rate", 10**400, "not valid"),
        ("training", "threads", 10**9, "at most 1000"),
        ("quantizer", "codes", 2**17, "does not fit its config"),
        ("quantizer", "codes", 2**31, "at most 2097152"),
        ("pretokens", "base", "words:" + "9" * 5000, r"base"),
        ("pretokens", "window", [[]], "window"),
    ],
)
def test_a_forged_config_gets_no_memory(
    section: str, key: str, value: Any, message: str, trained: Run, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(trained.folder, tmp_path / "run"))
    forge(copy, lambda content: content["config"][section].update({key: value}))
    for use in (resume, lambda folder: distill(folder, tmp_path / "out")):
        with pytest.raises(GqvaeError, match=message):
            use(copy)


NAMED = Corpus(("a.txt",)).named()


@pytest.mark.parametrize(
    "forged",
    [
        *({"files": ["a"]}, {"files": 3}, {"provenance": []}, {"config": "x"}),
        *(
            {"provenance": {"corpus": NAMED | wrong}}
            for wrong in (
                {"inputs": None},
                {"inputs": "abc"},
                {"separator": ["x"]},
                {"on_error": "never"},
                {"field": 1},
            )
        ),
    ],
)
def test_a_forged_config_of_another_shape_is_told(forged: dict[str, Any], trained: Run, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(trained.folder, tmp_path / "run"))
    forge(copy, lambda content: content.update(forged))
    with pytest.raises(GqvaeError):
        Run.open(copy)


def test_what_these_are_forged_from_is_read(trained: Run, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(trained.folder, tmp_path / "run"))
    forge(copy, lambda content: content.update({"provenance": {"corpus": NAMED}}))
    assert Run.open(copy).corpus == Corpus(("a.txt",))
