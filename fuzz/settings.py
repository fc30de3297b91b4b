"""Any settings, from a config file or the command line: a complete configuration that repeats itself, or our error."""

import json

from fuzz.inputs import Choices, altered, as_json
from gqvae import GqvaeError
from gqvae.config import Config
from gqvae.settings import _flat

KEYS = list(_flat(Config().to_dict()))
VALUES = (
    "0",
    "1",
    "-1",
    "3",
    "0.5",
    "1e400",
    "nan",
    "inf",
    "none",
    "true",
    "",
    "cosine",
    "words:300",
    "words:",
    "1,2",
    "9" * 5000,
    "words:" + "9" * 5000,
)
SEEDS = [bytes([kind, *range(start, start + 12)]) for kind in (0, 1) for start in range(0, 120, 12)] + [b"\x02seed=4"]


def check(data: bytes) -> None:
    choices = Choices(data)
    kind = choices.below(3)
    try:
        if kind == 0:
            config = Config.from_dict(json.loads(as_json(altered(Config().to_dict(), choices))))
        elif kind == 1:
            config = Config().override([f"{choices.of(KEYS)}={choices.of(VALUES)}" for _ in range(3)])
        else:
            config = Config().override([choices.rest().decode(errors="replace")])
    except (GqvaeError, RecursionError) as error:
        assert isinstance(error, GqvaeError) or kind == 0  # `read_json` refuses what is too deep
        return
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config
