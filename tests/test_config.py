"""Settings: what is refused, what is understood, and that they survive JSON."""

import json
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from gqvae.config import Config
from gqvae.errors import GqvaeError
from gqvae.presets import preset

PRESETS = ("tiny", "superword", "small", "paper")


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_survives_json(name: str) -> None:
    config = preset(name)
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_the_papers_preset_is_the_paper() -> None:
    config = preset("paper")
    assert (config.model.width, config.quantizer.codes, config.quantizer.name) == (1024, 50_000, "gradient")
    assert (config.objective.name, config.quantizer.revival) == ("gates", "reservoir")
    assert (config.training.learning_rate, config.training.amsgrad) == (1e-4, True)


def test_an_unknown_preset_lists_those_there_are() -> None:
    with pytest.raises(GqvaeError, match=", ".join(PRESETS)):
        preset("huge")


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("seed=7", 7),
        ("pretokens.base=my-tokenizer", "my-tokenizer"),
        ("pretokens.base=none", None),
        ("training.learning_rate=1e-3", 1e-3),
        ("training.amsgrad=true", True),
        ("training.amsgrad=false", False),
        (" model.width = 64 ", 64),
        ("quantizer.codes=12", 12),
        ("quantizer.codes=none", None),
        ("quantizer.candidates=32", 32),
        ("training.batch_symbols=512", 512),
        ("quantizer.name=ema", "ema"),
        ("quantizer.options.decay=0.5", "0.5"),
        ("objective.name=gates", "gates"),
        ("objective.target_bytes_per_token=2", 2.0),
        ("objective.reconstruction=2,8", (2.0, 8.0)),
        ("training.precision=bf16-mixed", "bf16-mixed"),
    ],
)
def test_an_override_takes_the_type_of_its_setting(assignment: str, value: object) -> None:
    config = preset("tiny").override([assignment])
    found: Any = config
    for part in assignment.partition("=")[0].strip().split("."):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    assert found == value
    assert type(found) is type(value)


def test_overrides_leave_the_rest_alone_and_the_last_wins() -> None:
    config = preset("small").override(["seed=1", "model.heads=4", "seed=2"])
    assert config.seed == 2
    assert config.difference(preset("small")) == "seed: 2, not 0"
    assert config.override(["seed=0", "model.heads=8"]) == preset("small")
    assert preset("small").override([]).difference(preset("small")) == "none"


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("training.step=5", r"unknown setting 'training.step'; there are: .*training\.steps"),
        ("steps=5", "unknown setting 'steps'"),
        ("model=5", "unknown setting 'model'"),
        ("no.such.thing=5", "unknown setting"),
        ("seed.deeper=5", "unknown setting"),
        ("seed", "not of the form key=value"),
        ("seed=x", "seed: 'x' is not valid"),
        ("seed=1.5", "seed: '1.5' is not valid"),
        ("training.amsgrad=maybe", r"training\.amsgrad: 'maybe' is not valid"),
        ("objective.ramp=1", "needs 2 values"),
        ("objective.ramp=a,b", r"^objective\.ramp: 'a' is not valid \(could not convert string to float: 'a'\)$"),
        ("vocab_size=many", r"^vocab_size: 'many' is not valid \(invalid literal"),
        ("training.compile=yes", r"^training\.compile: 'yes' is not valid \(needs true or false\)$"),
        ("objective.name=magic", r"objective\.name must be one of marginal, gates, not 'magic'"),
        ("quantizer.candidates=0", r"^quantizer\.candidates must be positive"),
        ("quantizer.revival=magic", "needs, reservoir, none"),
        ("quantizer.start=magic", "latents, kmeans"),
        ("quantizer.options=magic", "unknown setting 'quantizer.options'"),
        ("quantizer.options.deeper.still=1", "unknown setting"),
        ("training.steps=0", r"^training\.steps must be positive"),
        ("model.heads=7", r"^model\.width \(128\) must be a multiple"),
        ("model.character_width=0", r"^model\.character_width must be positive"),
        ("seed=-1", "seed must lie between"),
        ("seed=99999999999999999999", "seed must lie between"),
        ("vocab_size=256", "at least 258"),
        ("model.longest_token=40", "cannot exceed"),
        ("quantizer.revive_share=1.5", "between 0 and 1"),
        ("vocab_size=none", r"set vocab_size or quantizer\.codes"),
        ("objective.target_rate=0.3", "no effect without name=gates"),
        ("pretokens.base=words:99999", "words:N needs 258 to 55296 ids"),
    ],
)
def test_a_bad_override_is_refused_by_name(assignment: str, message: str) -> None:
    with pytest.raises(GqvaeError, match=message):
        preset("tiny").override([assignment])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"colour": 1}, "unknown key colour"),
        ({"model": {"wdith": 1}}, r"unknown key model\.wdith; there are: width"),
        ({"model": 3}, "model. must be a table"),
        ([], "must be a table"),
        (None, "must be a table"),
        ({"seed": 1.5}, "needs a whole number"),
        ({"seed": None}, "seed: None is not valid"),
        ({"objective": {"ramp": 3}}, r"objective\.ramp: 3 is not valid"),
    ],
)
def test_bad_json_is_refused_by_name(values: Any, message: str) -> None:
    with pytest.raises(GqvaeError, match=message):
        Config.from_dict(values)


def test_what_is_left_out_has_its_default() -> None:
    assert Config.from_dict({"model": {"width": 64}}) == preset("tiny").override(["model.width=64"])


def test_a_config_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        preset("tiny").seed = 3  # type: ignore[misc]
