"""A quantizer of another package: the one of docs/quantizers.md, installed as its entry point says."""

import re
from pathlib import Path

import pytest
from learning import TINY, vary

from gqvae.corpus import Corpus
from gqvae.errors import GqvaeError
from gqvae.learn.distill import distill
from gqvae.learn.quantizers import registry
from gqvae.learn.training import train
from gqvae.names import load

PAGE = (Path(__file__).parent.parent / "docs" / "quantizers.md").read_text(encoding="utf-8")
SHORT = vary(
    TINY,
    training={"steps": 14, "log_every": 14, "sample_pretokens": 100},
    quantizer={"warmup_steps": 5, "revive_every": 4},
)


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def install(folder: Path, module: str, code: str, entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package as pip would leave it."""
    (folder / f"{module}.py").write_text(code, encoding="utf-8")
    about = folder / f"{module}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{entry}\n")
    monkeypatch.syspath_prepend(str(folder))


def test_the_page_has_a_row_for_each_of_ours() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\| (yes|no)\b", PAGE, re.MULTILINE)
    assert {name: moves == "yes" for name, moves in rows} == {
        name: registry.quantizer_class(name).movable for name in registry.OURS
    }


def test_the_page_is_enough(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header, entry = block("toml").strip().splitlines()
    assert header == f'[project.entry-points."{registry.GROUP}"]'
    assert len([line for line in block("python").splitlines() if line.strip()]) <= 35
    site = tmp_path / "site"
    site.mkdir()
    install(site, "random_quantizer", block("python"), entry.replace('"', ""), monkeypatch)
    assert registry.names()[-1] == "random"
    assert re.search(r"^random +Frozen random codes", registry.listing(), re.MULTILINE)

    config = SHORT.override(["quantizer.name=random", "quantizer.options.temperature=0.2"])
    run = train(config, corpus, tmp_path / "run")
    assert run.new_model().quantizer.temperature == 0.2
    distill(run.folder, tmp_path / "tokenizer")
    tokenizer = load(tmp_path / "tokenizer")
    assert tokenizer.decode(tokenizer.encode("a toy: äöü\n")) == "a toy: äöü\n"
    with pytest.raises(GqvaeError, match=r"unknown key quantizer\.options\.heat; there are: temperature"):
        train(config.override(["quantizer.options.heat=1"]), corpus, tmp_path / "other")
    with pytest.raises(GqvaeError, match="those of random do not move"):
        train(config.override(["quantizer.revival=reservoir"]), corpus, tmp_path / "other")


@pytest.mark.parametrize(
    ("code", "entry", "message"),
    [
        ("raise RuntimeError('no such device')", "broken = broken_one:Thing", "cannot be loaded: no such device"),
        ("Thing = 3", "broken = broken_one:Thing", "is not a subclass of"),
    ],
)
def test_a_broken_package_is_named(
    code: str, entry: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(__import__("sys").modules, "broken_one", raising=False)
    install(tmp_path, "broken_one", code, entry, monkeypatch)
    with pytest.raises(GqvaeError, match=f"quantizer 'broken': broken_one:Thing {message}"):
        registry.quantizer_class("broken")
    assert message in registry.listing()  # which goes on


def test_no_package_takes_our_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "usurper", "Cosine = 3", "cosine = usurper:Cosine", monkeypatch)
    assert registry.names().count("cosine") == 1
    assert registry.quantizer_class("cosine").__module__ == "gqvae.learn.quantizers.cosine"
