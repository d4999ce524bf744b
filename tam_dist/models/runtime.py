"""Torch's process-wide settings, which decide the last bits of every mask."""

from __future__ import annotations

import os

import torch

from tam_dist.config import RuntimeConfig
from tam_dist.errors import ResourceError


def configure_torch(config: RuntimeConfig) -> torch.device:
    """Set threads and determinism as configured and return the device.

    Every process that runs a model must call it: Ray gives actors one OpenMP thread by default, and another thread count
    sums in another order. ``threads`` 0 means all cores. Raises :class:`ResourceError` for a device that is not there.
    """
    torch.set_num_threads(config.threads or os.cpu_count() or 1)
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
    name = config.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ResourceError(f"runtime.device={name} is no torch device; use auto, cpu or cuda.") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ResourceError(f"runtime.device={name} was asked for, but torch sees no GPU here; use runtime.device=cpu.")
    return device
