"""The whole system at a size at which it runs in seconds: random-weight networks of the embedded architectures, small clips.

Masks of random networks mean nothing, but every bit of them depends on all of a tracker's state, which is what tests of
recovery need.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from tam_dist.models.sam.build import SmallSamConfig, build_small_sam
from tam_dist.models.sam.weights import save_sam
from tam_dist.models.xmem.config import SMALL
from tam_dist.models.xmem.network import XMem
from tam_dist.models.xmem.weights import save_network
from tam_dist.types import BoolArray, UInt8Array

HEIGHT, WIDTH = 48, 64


def write_weights(folder: Path) -> list[str]:
    """Save random XMem and SAM weights into ``folder``; returns the settings that use them."""
    torch.manual_seed(7)
    save_network(XMem(SMALL), folder / "xmem.safetensors")
    sam = SmallSamConfig(image_size=64, embed_dim=32, neck_blocks=1, transformer_mlp_dim=64, iou_hidden_dim=32)
    save_sam(build_small_sam(sam), sam, folder / "sam.safetensors")
    return [
        f"models.xmem={folder}/xmem.safetensors",
        f"models.sam={folder}/sam.safetensors",
        "runtime.threads=1",
        "runtime.precision=fp32",  # whatever this machine is faster with
        "runtime.device=cpu",
        "tracking.chunk_size=8",
        "tracking.checkpoint_every=2",
        "tracking.direction=forward",  # most tests count chunks; those of backward passes turn it on
        "refinement.presence=false",  # to a network of random weights everything seems to be gone
        "refinement.mode=off",  # the masks of random networks are always poor; tests of refinement turn it on
        "propagation.enlarge=false",
        "propagation.mem_every=3",
        "propagation.min_working_frames=2",
        "propagation.max_working_frames=4",
        "propagation.num_prototypes=8",
        "propagation.max_long_term_elements=24",
    ]


def moving_square(frame_count: int, *, seed: int = 3, height: int = HEIGHT, width: int = WIDTH) -> UInt8Array:
    """uint8 (T, H, W, 3): a bright square that moves over a fixed noisy ground."""
    ground = np.random.default_rng(seed).integers(0, 90, (height, width, 3), dtype=np.uint8)
    video = np.repeat(ground[None], frame_count, axis=0)
    for t in range(frame_count):
        x = (4 + 2 * t) % (width - 16)
        video[t, 10:26, x : x + 16] = 220
    return video


def write_frames(folder: Path, video: UInt8Array) -> Path:
    """As a folder of PNGs, which is a video too."""
    folder.mkdir(parents=True, exist_ok=True)
    for t, frame in enumerate(video):
        cv2.imwrite(str(folder / f"{t:05d}.png"), frame[:, :, ::-1])
    return folder


def square(x: int, y: int, side: int = 16) -> BoolArray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y : y + side, x : x + side] = True
    return mask
