"""The programs in examples/, run as the README says, on very little."""

import math
import runpy
from pathlib import Path

import pytest

import gqvae
from gqvae.shards import Shards

EXAMPLES = Path(__file__).parent.parent / "examples"
SMALL = ("--steps", "3", "--batch", "2", "--length", "16", "--width", "32", "--layers", "1")
TEXT = "".join(f"Once upon a time {number} dogs ran home.\n<|endoftext|>\n" for number in range(60))


def pretrain(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> Path:
    """The folder that it leaves."""
    pytest.importorskip("transformers")
    (folder / "text.txt").write_text(text)
    program, out = str(EXAMPLES / "pretrain.py"), folder / "model"
    arguments = [program, "tinystories-1024", str(folder / "text.txt"), "--out", str(out), *SMALL, *more]
    monkeypatch.setattr("sys.argv", arguments)
    runpy.run_path(program, run_name="__main__")
    return out


def test_what_pretraining_leaves_loads_in_transformers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = pretrain(TEXT, tmp_path, monkeypatch)
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    ids = tokenizer("Once upon a time", return_tensors="pt").input_ids
    assert ids[0].tolist() == gqvae.load("tinystories-1024").encode("Once upon a time")
    assert model.generate(ids, max_new_tokens=4, min_new_tokens=4, do_sample=False).shape == (1, ids.shape[1] + 4)
    assert model.config.vocab_size == len(tokenizer)
    assert model.config.eos_token_id == tokenizer.eos_token_id
    (told,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step 3: ")]
    shards = Shards(folder / "shards")
    knows_nothing = math.log2(model.config.vocab_size) * shards.tokens / shards.bytes
    assert float(told.split()[2]) == pytest.approx(knows_nothing, rel=0.1)


@pytest.mark.parametrize("steps", [1, 20])
def test_any_number_of_steps(steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The schedule once divided by zero at 20."""
    assert (pretrain(TEXT, tmp_path, monkeypatch, "--steps", str(steps)) / "model.safetensors").exists()


def test_too_little_text_for_a_batch_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="give more text, or a smaller --batch"):
        pretrain("Once upon a time", tmp_path, monkeypatch)
