"""The precision of training."""

from __future__ import annotations

import torch

from tam_dist.errors import ConfigError
from tam_dist.models.precision import Precision, chosen


def mixed_precision(name: str, device: torch.device) -> Precision:
    """Of dense layers; losses stay float32. ``name``: auto (bf16 where ``device`` has it, else float32), fp32, bf16.

    Raises :class:`ConfigError` for others: fp16 would need its gradients scaled.

    >>> mixed_precision("fp32", torch.device("cpu")).value
    'fp32'
    """
    if name not in ("auto", "fp32", "bf16"):
        raise ConfigError(f"The training setting precision must be one of auto, fp32, bf16, not {name}.")
    return chosen(name, device.type)
