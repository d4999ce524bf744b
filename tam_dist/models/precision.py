"""How many digits the networks calculate with: float32, or half as many where the processor is faster with them."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


class Precision(StrEnum):
    """Of convolutions and matrix products; sums of masks, memory and distances of keys stay float32 in each.

    ``bf16`` has float32's range with 8 bits of mantissa, ``fp16`` 11 bits and a smaller range.
    """

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"

    def autocast(self, device: torch.device) -> torch.autocast:
        """In effect for the calling thread; without effect for ``FP32``."""
        dtype = torch.float16 if self is Precision.FP16 else torch.bfloat16
        return torch.autocast(device.type, dtype, enabled=self is not Precision.FP32)

    def lay_out(self, network: Network) -> Network:
        """``network`` itself, its weights channels-last where that is faster: a third of the time on a CPU in bf16, a tenth in
        float32, where it is depthwise convolutions that gain.
        """
        if self._channels_last(next(network.parameters()).device):
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network

    def lay_out_frames(self, frames: Tensor) -> Tensor:
        """The same for frames (B, 3, H, W)."""
        return frames.contiguous(memory_format=torch.channels_last) if self._channels_last(frames.device) else frames

    def _channels_last(self, device: torch.device) -> bool:
        return self is not Precision.FP32 or device.type == "cpu"


def fastest(device: str) -> Precision:
    """What ``runtime.precision=auto`` means on this machine: bf16 where the processor calculates with it, else float32.

    ``device`` is ``runtime.device``. Without such instructions bf16 is several times slower than float32 on a CPU.
    """
    on_gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    if on_gpu:
        able = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        able = device in ("auto", "cpu") and any(
            torch.cpu.get_capabilities().get(name, False) for name in ("avx512_bf16", "amx_bf16")
        )
    return Precision.BF16 if able else Precision.FP32


def chosen(name: str, device: str) -> Precision:
    """The precision of a setting: "auto" is what suits this machine. Raises ValueError for what is no precision."""
    return fastest(device) if name == "auto" else Precision(name)
