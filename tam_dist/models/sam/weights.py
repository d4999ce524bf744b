"""Weight files of SAM: segment-anything's official ``.pth`` and our own ``.safetensors``, told apart by what they hold."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from tam_dist.errors import WeightsError
from tam_dist.models.sam.build import OFFICIAL_DEPTHS, Sam, SmallSamConfig, build_official_sam, build_small_sam

_FORMAT = "tam-dist-sam-1"


def load_sam(path: str | Path, device: torch.device | str = "cpu") -> Sam:
    """The network that ``path`` holds, in eval mode, float32, without gradients, on ``device``.

    Raises :class:`WeightsError`, naming the file, where it is missing, damaged or of another model.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"The SAM weights {path} do not exist; give a file, or 'embedded' for the small built-in model.")
    try:
        with path.open("rb") as file:
            # A safetensors file starts with its header's length, so its ninth byte opens the header's JSON.
            sam = _load_small(path) if file.read(9)[8:] == b"{" else _load_official(path)
    except OSError as error:
        raise WeightsError(f"The SAM weights {path} cannot be read: {error}.") from error
    return sam.to(device).eval().requires_grad_(False)


def save_sam(sam: Sam, config: SmallSamConfig, path: str | Path) -> None:
    """Write a small SAM with its configuration; weights are stored as float16, half the size at no measurable loss."""
    path = Path(path)
    tensors = {name: tensor.detach().cpu().half().contiguous() for name, tensor in sam.state_dict().items()}
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(save(tensors, metadata={"format": _FORMAT, "config": config.to_json()}))
    partial.replace(path)


def _load_small(path: Path) -> Sam:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != _FORMAT:
                raise WeightsError(f"{path} does not hold a SAM of this version; it says {metadata.get('format')!r}.")
            sam = build_small_sam(SmallSamConfig.from_json(metadata["config"]))
            _fill(sam, {name: file.get_tensor(name).float() for name in file.keys()}, path)  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"The SAM weights {path} are damaged: {error}; fetch or copy the file again.") from error
    return sam


def _load_official(path: Path) -> Sam:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch raises a different type for each way a file can be broken
        raise WeightsError(f"The SAM weights {path} are damaged or no torch file: {error}; fetch the file again.") from error
    depth = _encoder_depth(state)
    if depth not in OFFICIAL_DEPTHS:
        raise WeightsError(f"{path} does not hold one of segment-anything's models (vit_b, vit_l, vit_h).")
    sam = build_official_sam(OFFICIAL_DEPTHS[depth])
    _fill(sam, state, path)
    return sam


def _encoder_depth(state: object) -> int:
    """Number of transformer blocks in an official state dict; 0 where it is none."""
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        return 0
    prefix = "image_encoder.blocks."
    return len({name.split(".")[2] for name in state if str(name).startswith(prefix)})


def _fill(sam: Sam, state: dict[str, Tensor], path: Path) -> None:
    try:
        sam.load_state_dict(state, strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise WeightsError(f"{path} does not hold the SAM it claims to hold: {reason}") from error
