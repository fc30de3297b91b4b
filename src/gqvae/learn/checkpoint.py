"""A training state as one safetensors file: model, optimiser, reservoir, lexicon and random generator.

Everything that the next step depends on is in it, so that a resumed run continues as if it had never stopped. The
header holds a hash of the step and of every tensor: a bit that flipped on the disk is an error, not another result.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from gqvae.errors import GqvaeError
from gqvae.files import replacing
from gqvae.learn.lexicon import Lexicon

FORMAT = 4
_GO_ON = "what was there is unharmed: make room, then continue with --resume"


@dataclass
class State:
    """What changes while training."""

    step: int
    model: nn.Module
    reservoir: nn.Module
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    usage: Tensor
    """(V,) summed weight of the assignments to each code since the last revival."""
    lexicon: Lexicon | None
    places: Tensor | None = None
    """(V, d) where the codes lay after the last revival (`health`)."""
    movement: float | None = None
    """How far they had moved then since the one before."""


def save(path: Path, state: State) -> None:
    """Write the state, atomically. Raises GqvaeError when that fails; the file of before is then unharmed."""
    tensors = {
        **_prefixed("model", state.model.state_dict()),
        **_prefixed("reservoir", state.reservoir.state_dict()),
        "generator": state.generator.get_state(),
        "usage": state.usage,
    }
    for index, moments in state.optimizer.state_dict()["state"].items():
        tensors |= _prefixed(f"optimizer.{index}", {key: torch.as_tensor(value) for key, value in moments.items()})
    if state.lexicon is not None:
        tensors |= _prefixed("lexicon", asdict(state.lexicon))
    if state.places is not None:
        tensors["places"] = state.places
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    about = {"format": FORMAT, "step": state.step, "movement": state.movement}
    try:
        with replacing(path) as temporary:
            save_file(tensors, temporary, {"gqvae": json.dumps(about | {"sha256": _digest(about, tensors)})})
    except GqvaeError as error:
        raise GqvaeError(f"{error}; {_GO_ON}") from error
    except SafetensorError as error:
        raise GqvaeError(f"cannot write {path}: {error}; {_GO_ON}") from error


def restore(path: Path, state: State) -> None:
    """Read into `state`. Raises GqvaeError for a file that is damaged or of another model."""
    tensors, about = _read(path)
    try:
        state.model.load_state_dict(_under("model", tensors))
        reservoir = _under("reservoir", tensors)
        state.reservoir.register_buffer("latents", reservoir["latents"].to(state.usage.device))
        state.reservoir.register_buffer("position", reservoir["position"].to(state.usage.device))
        state.generator.set_state(tensors["generator"])
        state.usage.copy_(tensors["usage"])
        state.optimizer.load_state_dict(_optimizer_state(state.optimizer, _under("optimizer", tensors)))
    except (RuntimeError, KeyError, ValueError) as error:
        raise GqvaeError(f"{path} does not fit this run ({error}); train again into a new folder") from error
    lexicon = {name: tensor.to(state.usage.device) for name, tensor in _under("lexicon", tensors).items()}
    state.lexicon = Lexicon(**lexicon) if lexicon else None
    state.places = tensors["places"].to(state.usage.device) if "places" in tensors else None
    state.step, state.movement = about["step"], about["movement"]


def load_model(path: Path, model: nn.Module) -> int:
    """Read the weights alone; returns the step they are of."""
    tensors, about = _read(path)
    try:
        model.load_state_dict(_under("model", tensors))
    except RuntimeError as error:
        raise GqvaeError(f"{path} does not fit its config.json: {error}") from error
    return int(about["step"])


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})["gqvae"])
            if about["format"] != FORMAT:
                raise GqvaeError(f"{path} has checkpoint format {about['format']}; this version reads {FORMAT}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if about.pop("sha256") != _digest(about, tensors):
            raise ValueError("its sha256 does not match the content")
        return tensors, about
    except FileNotFoundError:
        raise GqvaeError(f"{path}: no checkpoint there yet") from None
    except GqvaeError:
        raise
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise GqvaeError(f"{path} is not a checkpoint of gqvae, or damaged: {error}") from error


def _digest(about: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """The SHA-256 of the header and of every tensor: name, type, shape and bytes."""
    found = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    start = prefix + "."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def _optimizer_state(optimizer: torch.optim.Optimizer, moments: dict[str, Tensor]) -> dict[str, object]:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in moments.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = tensor
    return {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
