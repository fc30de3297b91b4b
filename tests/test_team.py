"""Training in two processes under torchrun: what one process gives, up to rounding, and the same again when resumed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from learning import TINY, vary
from safetensors.torch import load_file
from torch.testing import assert_close

from gqvae.corpus import Corpus
from gqvae.errors import GqvaeError
from gqvae.learn.run import Run
from gqvae.learn.team import Team
from gqvae.learn.training import train

CONFIG = vary(
    TINY,
    # past the warm-up and a round of moves; batches that two processes cannot share evenly; resumed between two rounds
    training={"steps": 24, "batch_symbols": 509, "checkpoint_every": 12},
    quantizer={"name": "ema"},
)
# strings given to codes that cannot move; a dropout; a fit to the latents of the warm-up
OTHERS = ("fsq", "residual", "whitening")
WORKER = """
import sys
from pathlib import Path
import pytest
from safetensors.torch import save_file
from learning import interrupt_at, vary
from test_team import CONFIG, OTHERS
from gqvae.corpus import Corpus
from gqvae.learn.training import Trainer, resume, train

corpus, out = Corpus((sys.argv[1],)), Path(sys.argv[2])
keep = Trainer.fit
def fit(trainer):
    keep(trainer)
    assert not trainer.window  # or what steps saw would pile up
    save_file(trainer.model.state_dict(), out / f"rank{trainer.team.rank}.safetensors")
Trainer.fit = fit
train(CONFIG, corpus, out / "whole")
with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
    interrupt_at(17, patch)
    train(CONFIG, corpus, out / "parts")
resume(out / "parts")
Trainer.fit = keep
for name in OTHERS:
    train(vary(CONFIG, quantizer={"name": name}), corpus, out / name)
"""


def torchrun(arguments: list[str], cwd: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments]
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def shared(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run `whole` of two processes, one `parts` that was interrupted, and the models of both ranks."""
    folder = tmp_path_factory.mktemp("team")
    (folder / "worker.py").write_text(WORKER)
    done = torchrun([str(folder / "worker.py"), corpus.inputs[0], str(folder)], folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("step 24 of 24") == 2 + len(OTHERS), "once for each run: one process speaks"
    return folder


def test_two_processes_give_what_one_gives(shared: Path, corpus: Corpus, tmp_path: Path) -> None:
    assert_close_runs(Run.open(shared / "whole"), train(CONFIG, corpus, tmp_path / "alone"))


@pytest.mark.parametrize("quantizer", OTHERS)
def test_so_they_do_with_other_quantizers(quantizer: str, shared: Path, corpus: Corpus, tmp_path: Path) -> None:
    alone = train(vary(CONFIG, quantizer={"name": quantizer}), corpus, tmp_path / "alone")
    slack = 30 if quantizer == "fsq" else 10  # of other builds of torch, one use of one code differs by 1.2%
    assert_close_runs(Run.open(shared / quantizer), alone, slack)  # rounding may decide between two codes as near


def assert_close_runs(shared: Run, alone: Run, slack: float = 1) -> None:
    """Strings of codes and all other whole numbers exactly."""
    ours, theirs = load_file(shared.checkpoint), load_file(alone.checkpoint)
    assert ours.keys() == theirs.keys()
    assert torch.equal(ours["generator"], theirs["generator"])
    for name, tensor in ours.items():
        if not tensor.is_floating_point():
            assert torch.equal(tensor, theirs[name]), name
        elif "project_in.bias" not in name:  # the bias of keys has no effect: Adam makes steps of what is rounding
            assert_close(
                tensor,
                theirs[name],
                rtol=1e-3 * slack,
                atol=1e-4 * slack,
                msg=lambda text, name=name: f"{name}: {text}",
            )


def test_both_processes_hold_the_same_model(shared: Path) -> None:
    first, second = (load_file(shared / f"rank{rank}.safetensors") for rank in (0, 1))
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_resumed_they_end_as_if_they_had_never_stopped(shared: Path) -> None:
    whole, parts = (Run.open(shared / name) for name in ("whole", "parts"))
    assert whole.checkpoint.read_bytes() == parts.checkpoint.read_bytes()


def test_an_error_in_one_process_ends_all(shared: Path) -> None:
    """The first finds that the folder holds a run; the other waits for it."""
    (shared / "text.txt").write_text("Once upon a time")
    command = ["-m", "gqvae", "train", "text.txt", "--out", str(shared / "whole")]
    done = torchrun(command, shared)
    assert done.returncode == 1
    assert "already holds a run" in done.stderr


def test_a_batch_is_shared_in_order_and_weighted_by_rows() -> None:
    batch = torch.arange(15).view(5, 3)
    teams = [Team(None, rank, size=2) for rank in (0, 1)]  # type: ignore[arg-type]
    assert torch.equal(torch.cat([team.part(batch) for team in teams]), batch)
    assert [team.weight(batch) for team in teams] == [2 * 3 / 5, 2 * 2 / 5]
    with pytest.raises(GqvaeError, match=r"raise training\.batch_symbols"):
        teams[0].part(batch[:1])
