"""Training, segmenting and distilling on a device that is not the CPU: what the CPU gives, up to rounding."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from learning import TINY, metrics, vary, write_corpus
from torch.utils import backend_registration

from gqvae.learn.run import Run
from gqvae.learn.training import train

# past the warm-up, a round of moves and a checkpoint
CONFIG = vary(TINY, training={"steps": 16, "checkpoint_every": 8, "log_every": 8, "accelerator": "auto"})
WAYS = {
    "marginal": vary(CONFIG, objective={"target_bytes_per_token": 1.5}),
    "gates": vary(CONFIG, objective={"name": "gates"}, quantizer={"name": "ema", "revival": "reservoir"}),
}
CONTINUOUS = ("loss", "nats_per_byte", "tokens_per_pretoken_soft", "near_duplicates", "price")
WORKER = """
import os
import sys
from pathlib import Path
import pytest
import torch
from apart import DEVICE, apart, fabric
from learning import interrupt_at
from test_apart import WAYS
from gqvae.corpus import Corpus
from gqvae.learn.distill import distill
from gqvae.learn.team import Team
from gqvae.learn.training import resume, train

corpus, out = Corpus((sys.argv[1],)), Path(sys.argv[2])
with apart(), pytest.MonkeyPatch.context() as patch:
    ones = torch.ones(2, device=DEVICE)
    assert (ones + ones).tolist() == [2, 2]
    for refused in (lambda: ones + torch.ones(2), ones.numpy, lambda: ones.normal_(generator=torch.Generator())):
        with pytest.raises((RuntimeError, TypeError)):
            refused()
    patch.setattr(Team, "join", lambda settings: Team(fabric(precision=settings.precision)))
    for name, config in WAYS.items():
        with pytest.MonkeyPatch.context() as stopping, pytest.raises(KeyboardInterrupt):
            interrupt_at(12, stopping)
            train(config, corpus, out / name)
        run = resume(out / name)
        assert run.trained_model().price.device == DEVICE
        distill(out / name, out / f"{name}-tokenizer")
os._exit(0)  # torch does not end well with such a device
"""


@pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"), reason="torch is too old for it"
)
def test_another_device_gives_what_the_cpu_gives(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "text.jsonl", documents=10)
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", WORKER, str(tmp_path / "text.jsonl"), str(tmp_path / "there")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert not done.returncode, done.stderr
    for name, config in WAYS.items():
        run = train(vary(config, training={"accelerator": "cpu"}), corpus, tmp_path / "here" / name)
        for here, there in zip(metrics(run), metrics(Run.open(tmp_path / "there" / name)), strict=True):
            for key in CONTINUOUS:
                assert there[key] == pytest.approx(here[key], 1e-3), key
