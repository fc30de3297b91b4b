"""Quantizers by name: the list of them, their options, and what is refused."""

import re
from pathlib import Path

import pytest
from learning import TINY
from quantizing import D, V

from gqvae.cli import main
from gqvae.config import Config, QuantizerConfig
from gqvae.corpus import Corpus
from gqvae.errors import GqvaeError
from gqvae.learn.quantizers import make_quantizer, registry
from gqvae.learn.quantizers.base import LARGEST
from gqvae.learn.training import train

GATES = ("objective.name=gates",)
DIVEQ = ("quantizer.name=gradient", "quantizer.options.path=diveq")


def test_the_list_says_what_each_is() -> None:
    lines = registry.listing().splitlines()
    assert [line.split()[0] for line in lines] == registry.names()
    assert all(re.match(r"\w+ +\w.{20,}\.$", line) for line in lines), lines


def test_the_command_lists_them_without_further_ado(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["train", "--quantizer", "help"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == registry.listing() + "\n"


def test_options_take_their_types_and_survive_json() -> None:
    config = TINY.override(["quantizer.name=fsq", "quantizer.options.levels=8,6,2"])
    again = Config.from_dict(config.to_dict())
    assert again == config
    assert registry.options_of(again.quantizer).levels == (8, 6, 2)
    assert config.difference(TINY.override(["quantizer.name=fsq"])) == "quantizer.options.levels: 8,6,2, not not set"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["quantizer.name=magic"], "unknown quantizer 'magic'; there are: cosine, ema, gradient"),
        (["quantizer.options.colour=1"], r"unknown key quantizer\.options\.colour; there are: none"),
        (["quantizer.name=fsq", "quantizer.options.level=1"], "there are: levels"),
        (["quantizer.name=fsq", "quantizer.options.levels=8,x"], r"quantizer\.options\.levels"),
        (["quantizer.name=fsq", "quantizer.options.levels=1,9"], "2 or more"),
        (["quantizer.name=fsq", "quantizer.revival=reservoir"], "those of fsq do not move by themselves"),
        (["quantizer.name=gradient", "quantizer.options.path=rotation"], r"no effect without objective\.name=gates"),
        (["quantizer.commitment=0.5"], r"quantizer\.commitment is of no effect without objective\.name=gates"),
        (["quantizer.start=kmeans", "quantizer.warmup_steps=0"], "no effect without warm-up"),
        (["quantizer.start=kmeans", "quantizer.name=fsq"], r"quantizer\.start is of no effect with fsq"),
        (["quantizer.start=kmeans", "quantizer.name=soft_topk"], r"quantizer\.start is of no effect with soft_topk"),
        ([*GATES, "quantizer.commitment=1", "quantizer.name=gumbel"], r"quantizer\.commitment .* with gumbel"),
        ([*GATES, "quantizer.commitment=1", "quantizer.name=fsq"], r"quantizer\.commitment .* with fsq"),
        ([*GATES, "quantizer.commitment=1", *DIVEQ], r"quantizer\.commitment .* with gradient and its options"),
        ([*GATES, "quantizer.options.legacy=true", *DIVEQ], r"options\.legacy is of no effect with path=diveq"),
        ([*GATES, "quantizer.options.variance=1", DIVEQ[0]], r"options\.variance is of no effect without path=diveq"),
        ([*GATES, "quantizer.options.variance=-1", *DIVEQ], "variance must not be negative"),
        (["quantizer.name=product", "quantizer.options.groups=5"], "multiple of its groups"),
        (["quantizer.name=fsq", "quantizer.options.levels=3,3"], "make 9 codes, fewer than 104"),
        (["vocab_size=300000"], "299,744 codes; there may be 262,144"),
        (["quantizer.name=fsq", "vocab_size=300000"], "299,744 codes is too large"),
        (["quantizer.name=gradient", "quantizer.options.path=bent"], "straight, rotation, diveq"),
        (["quantizer.name=ema", "quantizer.options.decay=1.5"], "between 0 and 1"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_counted(
    settings: list[str], message: str, corpus: Corpus, tmp_path: Path
) -> None:
    with pytest.raises(GqvaeError, match=message):
        train(TINY.override(settings), corpus, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_table_may_be_too_large() -> None:
    for name in ("cosine", "fsq", "lookup_free", "residual", "product"):
        with pytest.raises(GqvaeError, match="codes"):
            make_quantizer(QuantizerConfig(name=name), LARGEST + 1, D)
    with pytest.raises(GqvaeError, match="make 25 codes, fewer than 30"):
        make_quantizer(QuantizerConfig(name="fsq", options={"levels": "5,5"}), V, D)
    with pytest.raises(GqvaeError, match="multiple of its groups"):
        make_quantizer(QuantizerConfig(name="product", options={"groups": "5"}), V, D)
