"""A checkpoint that is damaged, of another model or none at all is a clear error."""

import os
import random
import shutil
from pathlib import Path

import pytest
import torch
from learning import SHORT, TINY, vary
from safetensors import SafetensorError
from safetensors.torch import load_file

from gqvae.corpus import Corpus
from gqvae.errors import GqvaeError
from gqvae.learn import checkpoint
from gqvae.learn.distill import distill
from gqvae.learn.run import Run
from gqvae.learn.training import resume, train


@pytest.mark.parametrize("damage", ["cut", "empty", "garbage", "header", "folder", "format", "foreign"])
def test_a_damaged_checkpoint_is_a_clear_error(damage: str, trained: Run, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    copy = Path(shutil.copytree(trained.folder, tmp_path / "copy"))
    path = copy / "checkpoint.safetensors"
    data = path.read_bytes()
    tensors = load_file(path)
    path.unlink()
    match damage:
        case "cut":
            path.write_bytes(data[: len(data) // 2])
        case "empty":
            path.write_bytes(b"")
        case "garbage":
            path.write_bytes(random.Random(0).randbytes(1000))
        case "header":
            path.write_bytes(data[:20] + b"\xff" + data[21:])
        case "folder":
            path.mkdir()
        case "format":
            save_file(tensors, path, {"gqvae": '{"format": 99, "step": 1}'})
        case "foreign":
            save_file(tensors, path)
    for use in (lambda: resume(copy), lambda: distill(copy, tmp_path / "out")):
        with pytest.raises(GqvaeError, match=r"checkpoint\.safetensors"):
            use()
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_of_another_model_is_a_clear_error(trained: Run, corpus: Corpus, tmp_path: Path) -> None:
    config = vary(TINY, model={"width": 16}, training={"steps": 1})
    other = train(config, corpus, tmp_path / "other")
    shutil.copy(trained.checkpoint, other.checkpoint)
    for use in (lambda: resume(other.folder), lambda: distill(other.folder, tmp_path / "out")):
        with pytest.raises(GqvaeError, match="does not fit"):
            use()


def test_what_safetensors_cannot_write_is_told(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise SafetensorError("I/O error: No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(GqvaeError, match=r"cannot write .*checkpoint\.safetensors: I/O error: No space left"):
        train(SHORT, corpus, tmp_path / "run")


def test_reading_the_number_of_codes_of_what_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    for prepare in (lambda: None, lambda: path.write_bytes(b"no")):
        prepare()
        with pytest.raises(GqvaeError, match=r"checkpoint\.safetensors"):
            checkpoint.load_model(path, torch.nn.Linear(1, 1))
    assert os.listdir(tmp_path) == ["checkpoint.safetensors"]
