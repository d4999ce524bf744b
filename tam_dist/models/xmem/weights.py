"""Reading and writing XMem weights: our safetensors, which describe their network, and official ``.pth`` checkpoints."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tam_dist.errors import WeightsError
from tam_dist.models.xmem.config import XMemConfig
from tam_dist.models.xmem.network import XMem

#: Key of the safetensors header under which the configuration is stored.
CONFIG_KEY = "tam_dist.xmem"


def load_network(path: str | os.PathLike[str], device: torch.device | str = "cpu") -> XMem:
    """The network that a file describes, in evaluation mode, float32 whatever precision is stored.

    ``.safetensors`` files are those of :func:`save_network`; anything else is read as an official checkpoint, without
    unpickling code. Raises :class:`WeightsError` where the file is missing, damaged or of another model.
    """
    path = Path(path)
    try:
        network = _load_ours(path) if path.suffix == ".safetensors" else _load_official(path)
    except FileNotFoundError as error:
        raise WeightsError(f"The XMem weights {path} do not exist.") from error
    except (OSError, SafetensorError, EOFError, pickle.UnpicklingError) as error:
        raise WeightsError(f"The XMem weights {path} are damaged or cannot be read: {_short(error)}; get them anew.") from error
    except WeightsError as error:
        raise WeightsError(f"{path} does not hold XMem weights: {error}") from error
    except (RuntimeError, TypeError, AttributeError) as error:  # what torch raises for a cut archive or wrong keys and shapes
        raise WeightsError(f"The XMem weights {path} are damaged or of another model: {_short(error)}.") from error
    return network.to(device).eval().requires_grad_(False)


def save_network(network: XMem, path: str | os.PathLike[str], *, half: bool = False) -> None:
    """Write weights and configuration as safetensors; ``half`` stores floating-point tensors as float16, at half the size."""
    tensors = {key: _storable(tensor, half) for key, tensor in network.state_dict().items()}
    save_file(tensors, path, metadata={CONFIG_KEY: network.config.to_metadata()})


def _short(error: Exception) -> str:
    """The first sentence of a library's message, which may run over many lines."""
    return " ".join(str(error).split()).split(". ")[0].rstrip(".")[:300]


def _storable(tensor: Tensor, half: bool) -> Tensor:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.half() if half and tensor.is_floating_point() else tensor


def _load_ours(path: Path) -> XMem:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        if CONFIG_KEY not in metadata:
            raise WeightsError(f"its header has no {CONFIG_KEY} entry.")
        network = XMem(XMemConfig.from_metadata(metadata[CONFIG_KEY]))
        network.load_state_dict({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118 (not a mapping)
    return network


def _load_official(path: Path) -> XMem:
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError("it is no plain dictionary of tensors.")
    return XMem.from_official(state)
