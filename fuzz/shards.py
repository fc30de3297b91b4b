"""Token shards with one file damaged or forged: an error of ours, or the ids as they were."""

import json
import tempfile
from pathlib import Path

import numpy

from fuzz.inputs import Choices, altered, as_json, damaged
from fuzz.tokenizer_file import TOKENIZER
from gqvae import GqvaeError
from gqvae.shards import Shards, encode_corpus

FOLDER = Path(tempfile.mkdtemp())
DOCUMENTS = ["abab the é", "the", "x" * 50]
encode_corpus(TOKENIZER, DOCUMENTS, FOLDER, shard_bytes=20)
FILES = {path.name: path.read_bytes() for path in FOLDER.iterdir() if path.name != "lock"}
NAMES = sorted(FILES)
IDS = [ids.tolist() for ids in Shards(FOLDER)]
SEEDS = [bytes([number, kind, *range(30)]) for number in range(len(NAMES)) for kind in range(3)]


def check(data: bytes) -> None:
    choices = Choices(data)
    name, kind = choices.of(NAMES), choices.below(3)
    if kind == 2:
        name, content = "index.json", as_json(altered(json.loads(FILES["index.json"]), choices))
    else:
        content = choices.rest() if kind == 1 else damaged(FILES[name], choices)
    (FOLDER / name).write_bytes(content)
    try:
        shards = Shards(FOLDER)
        shards.verify()
        found = [numpy.asarray(ids).tolist() for ids in shards]
    except GqvaeError as error:
        assert str(FOLDER) in str(error)
    else:
        assert found == IDS or kind == 2 or name == "index.json"
    finally:
        (FOLDER / name).write_bytes(FILES[name])
