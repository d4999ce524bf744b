"""A session's state as bytes: safetensors, with the scalars as JSON in its header. No pickle."""

from __future__ import annotations

import json
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from tam_dist.errors import SchemaError

SNAPSHOT_VERSION = 1


def pack_snapshot(next_chunk: int, tensors: dict[str, Tensor], meta: dict[str, Any]) -> bytes:
    """``tensors`` of any dtype and device; ``meta`` must be JSON."""
    header = json.dumps({"version": SNAPSHOT_VERSION, "next_chunk": next_chunk, "core": meta}, sort_keys=True)
    contiguous = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    return bytes(save(contiguous, metadata={"session": header}))


def unpack_snapshot(data: bytes) -> tuple[int, dict[str, Tensor], dict[str, Any]]:
    """(next chunk, tensors on the CPU, meta). Raises :class:`SchemaError` for anything but a snapshot of this version."""
    try:
        header = json.loads(_metadata(data)["session"])
        tensors = load(data)
    except (SafetensorError, KeyError, ValueError) as error:
        raise SchemaError("The checkpoint is damaged; delete it and resume from an earlier one.") from error
    if header["version"] != SNAPSHOT_VERSION:
        raise SchemaError(
            f"The checkpoint has version {header['version']}, this tam-dist reads version {SNAPSHOT_VERSION}; "
            "track the video anew or use the version that wrote it."
        )
    return header["next_chunk"], tensors, header["core"]


def _metadata(data: bytes) -> dict[str, str]:
    """The header's metadata: eight bytes of length, then JSON (safetensors' format); the library reads it from files only."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    metadata: dict[str, str] = header["__metadata__"]
    return metadata
