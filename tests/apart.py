"""A device that is not the CPU, for machines without a GPU: it computes on the CPU and refuses what a GPU would.

Tensors on it say that they are on `DEVICE`, so that all code takes the way that it takes on a GPU. An operation on
tensors of both kinds is an error, as are numpy's view of a tensor that is there and random numbers drawn there by a
generator that is here. torch knows the device until the process ends: use it in a process of its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.accelerators import CPUAccelerator
from lightning_fabric.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("privateuseone", 0)
_BETWEEN = {"aten::_to_copy", "aten::copy_"}  # what takes a tensor from one device to the other
_BY_INDEX = {"aten::index", "aten::index_put_"}  # places may be told from the CPU


class _Apart(Tensor):
    """A tensor on `DEVICE`, and the one on the CPU that it stands for."""

    @staticmethod
    def __new__(cls, here: Tensor) -> "_Apart":
        return Tensor._make_wrapper_subclass(
            cls, here.size(), here.stride(), here.storage_offset(), dtype=here.dtype, device=DEVICE
        )

    def __init__(self, here: Tensor) -> None:
        self.here = here

    @classmethod
    def __torch_dispatch__(cls, operation: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        return _run(operation, given, named or {})

    def tolist(self) -> list[Any]:
        return self.detach().cpu().tolist()


class _Operations(TorchDispatchMode):
    """Catches those that have no tensor yet, such as `torch.zeros`."""

    def __torch_dispatch__(self, operation: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        return _run(operation, given, named or {})


class _FromPython(TorchFunctionMode):
    """`torch.tensor` makes one without telling anybody."""

    def __torch_function__(self, function: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        named = dict(named or {})
        device = named.pop("device", None) if function is torch.tensor else None
        made = function(*given, **named)
        return made if device is None else made.to(device)


def _run(operation: Any, given: Any, named: dict[str, Any]) -> Any:
    """What torch's operation gives, on the device that its tensors are on or that it is told."""
    name, leaves = operation.name().partition(".")[0], tree_leaves((given, named))
    apart = [leaf for leaf in leaves if isinstance(leaf, _Apart)]
    here = [leaf for leaf in leaves if isinstance(leaf, Tensor) and not isinstance(leaf, _Apart) and leaf.ndim]
    device = named.get("device") or (DEVICE if apart else torch.device("cpu"))
    if name == "aten::copy_":
        device = given[0].device
    if apart and here and name not in _BETWEEN and not (name in _BY_INDEX and isinstance(given[0], _Apart)):
        raise RuntimeError(f"{name} of tensors on two devices")
    if device == DEVICE and any(isinstance(leaf, torch.Generator) for leaf in leaves):
        raise RuntimeError(f"{name} on {DEVICE} by a generator on the CPU")
    found = operation(*tree_map(_here, given), **tree_map(_here, named))
    if device != DEVICE:
        return found
    known = {id(tensor.here): tensor for tensor in apart}  # what was changed in place stays what it is

    def there(leaf: Any) -> Any:
        return known[id(leaf)] if id(leaf) in known else _Apart(leaf) if isinstance(leaf, Tensor) else leaf

    return tree_map(there, found)


def _here(leaf: Any) -> Any:
    if isinstance(leaf, _Apart):
        return leaf.here
    return torch.device("cpu") if isinstance(leaf, torch.device) else leaf


class _Backend(backend_registration._DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


class _Accelerator(CPUAccelerator):
    def setup_device(self, device: torch.device) -> None:
        """Lightning's own takes no other device."""


def fabric(**settings: Any) -> Fabric:
    """Lightning's, on `DEVICE`."""
    return Fabric(strategy=SingleDeviceStrategy(DEVICE, _Accelerator()), **settings)


@contextmanager
def apart() -> Iterator[None]:
    """Within, there is `DEVICE`."""
    backend_registration._setup_privateuseone_for_python_backend("apart", _Backend())
    torch.__future__.set_swap_module_params_on_conversion(True)
    with _Operations(), _FromPython():
        yield
