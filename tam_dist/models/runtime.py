"""Process-wide settings of torch, which decide the last bits of every mask, and of the memory below it."""

from __future__ import annotations

import ctypes
import os

import torch

from tam_dist.config import RuntimeConfig
from tam_dist.errors import ResourceError
from tam_dist.models.precision import Precision, chosen

#: Bytes of freed memory that glibc keeps for the next tensor rather than give back to the system.
KEPT_BYTES = 1 << 30
# Parameters of glibc's mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8


def configure_torch(config: RuntimeConfig) -> torch.device:
    """Set threads, memory and determinism as configured and return the device.

    Every process that runs a model must call it: Ray gives actors one OpenMP thread by default, and another thread count
    sums in another order. Raises :class:`ResourceError` for a device that is not there.
    """
    _keep_freed_memory()
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        # Nothing reads a new tensor before it is written; filling each one took 3 % of the processor's time in XMem.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
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
    if precision_of(config) is Precision.FP16 and device.type == "cpu":
        raise ResourceError("runtime.precision=fp16 needs a GPU; use bf16 or fp32 on a CPU.")
    torch.set_num_threads(operator_threads(config))
    return device


def precision_of(config: RuntimeConfig) -> Precision:
    """What the networks calculate with; "auto" is what suits this machine."""
    return chosen(config.precision, config.device)


def operator_threads(config: RuntimeConfig) -> int:
    """Threads that share one torch operator, of those that a model's process may use.

    Half of them where the other half encodes the next frame meanwhile (:mod:`tam_dist.tracking.encoding`). Refiners keep to
    it as well, since they share a process with propagators where everything runs in one.
    """
    threads = config.threads or os.cpu_count() or 1
    return threads if config.encode_ahead == "off" else max(1, threads // 2)


def encodes_ahead(config: RuntimeConfig, device: torch.device) -> bool:
    """Whether a second thread encodes frames while the first one tracks."""
    return device.type == "cpu" and config.encode_ahead != "off" and config.threads != 1


def _keep_freed_memory() -> None:
    """Let tensors come from memory that is already mapped.

    glibc hands large blocks back as soon as they are free. A frame then takes 20,000 page faults: XMem on one core ran at 7.5
    frames/s, and at 10.4 without them. One arena, as those of threads are unmapped whenever they are empty.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS and Windows have no such thing
        return
    for parameter, value in ((_M_MMAP_THRESHOLD, KEPT_BYTES), (_M_TRIM_THRESHOLD, KEPT_BYTES), (_M_ARENA_MAX, 1)):
        mallopt(parameter, value)
