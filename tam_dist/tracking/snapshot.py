"""A session's state as bytes: safetensors, with the scalars as JSON in its header. No pickle."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tam_dist.errors import SchemaError

if TYPE_CHECKING:
    from torch import Tensor

SNAPSHOT_VERSION = 2
#: Versions whose snapshots a session can go on from.
READABLE_VERSIONS = (1, SNAPSHOT_VERSION)


def pack_snapshot(next_chunk: int, tensors: dict[str, Tensor], meta: dict[str, Any]) -> bytes:
    """``tensors`` of any dtype and device; ``meta`` must be JSON."""
    from safetensors.torch import save

    header = json.dumps({"version": SNAPSHOT_VERSION, "next_chunk": next_chunk, **meta}, sort_keys=True)
    contiguous = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    return bytes(save(contiguous, metadata={"session": header}))


def unpack_snapshot(data: bytes) -> tuple[int, dict[str, Tensor], dict[str, Any]]:
    """(next chunk, tensors on the CPU, meta). Raises :class:`SchemaError` for anything but a snapshot of this version."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        header = json.loads(_metadata(data)["session"])
        tensors = load(data)
    except (SafetensorError, KeyError, ValueError) as error:
        raise SchemaError("The checkpoint is damaged; delete it and resume from an earlier one.") from error
    if header["version"] not in READABLE_VERSIONS:
        raise SchemaError(
            f"The checkpoint has version {header['version']}, this tam-dist reads up to {SNAPSHOT_VERSION}; "
            "track the video anew or use the version that wrote it."
        )
    if header["version"] == 1:
        tensors, header = _from_version_1(tensors, header)
    return header["next_chunk"], tensors, header


def _from_version_1(tensors: dict[str, Tensor], header: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Before there was a step 3: every memory element told something about every object, and nothing was scored."""
    import torch

    values = {n: torch.cat([t, torch.ones_like(t[..., :1])], -1) for n, t in tensors.items() if n.endswith(".value")}
    for group in header["core"]["groups"]:
        group["memory"]["gaps"] = False
    assessor = {"signals": {"ids": []}, "policy": {"frames": 0, "refined": 0, "objects": {}}}
    return {**tensors, **values}, {**header, "version": SNAPSHOT_VERSION, "assessor": assessor}


def is_readable(data: bytes) -> bool:
    """Whether a session can go on from it; not a snapshot that another version of tam-dist wrote. For those who choose among
    undamaged ones; needs no torch.
    """
    try:
        return json.loads(_metadata(data)["session"])["version"] in READABLE_VERSIONS
    except (KeyError, TypeError, ValueError, RecursionError):
        return True  # a stand-in's


def _metadata(data: bytes) -> dict[str, str]:
    """The header's metadata: eight bytes of length, then JSON (safetensors' format); the library reads it from files only."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    metadata: dict[str, str] = header["__metadata__"]
    return metadata
