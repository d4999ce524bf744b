"""How well a network follows held-out sequences: for watching training and choosing settings, not for reporting.

The loop is the plain one (first and every fifth frame in memory, hidden state, top-k), without long-term memory; the figures
that count come from the inference engine.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tam_dist.models.xmem.network import XMem, normalise
from tam_dist.training.clips import Picture
from tam_dist.training.video_data import PackedPictures
from tam_dist.training.xmem_clip import Memory


def region_similarity(
    network: XMem, videos: PackedPictures, names: Sequence[str], *, short_side: int = 256, top_k: int = 30
) -> dict[str, float]:
    """J (mean IoU 0..1 of object 1, first and last frame left out) of each sequence in ``names``."""
    was_training = network.training
    network.eval()
    scores = {name: follow(network, [videos[i] for i in videos.group(name)], short_side, top_k) for name in names}
    network.train(was_training)
    return scores


@torch.no_grad()
def follow(network: XMem, pictures: Sequence[Picture], short_side: int, top_k: int = 30, mem_every: int = 5) -> float:
    """Propagate frame 0's mask of object 1 and return J at the pictures' own size."""
    memory, hidden = Memory(), torch.zeros(0)
    ious = []
    device = next(network.parameters()).device
    for t, picture in enumerate(pictures):
        frame, size, full = _prepare(picture, short_side, network.stride)
        frame = frame.to(device)
        features = network.encode_key(frame)
        if t == 0:
            mask = F.interpolate(torch.from_numpy((picture.labels == 1).astype(np.float32))[None, None], full)
            mask = F.pad(mask, (0, frame.shape[-1] - full[1], 0, frame.shape[-2] - full[0])).to(device)
            hidden = mask.new_zeros(1, 1, network.config.hidden_dim, *features.key.shape[-2:])
            value, hidden = network.encode_value(frame, features, hidden, mask)
            memory.add(features, value)
            continue
        readout, _ = memory.read(features, top_k)
        enters = t % mem_every == 0
        hidden, _, probabilities = network.segment(features, readout, hidden, not enters)
        if enters:
            value, hidden = network.encode_value(frame, features, hidden, probabilities[:, 1:])
            memory.add(features, value)
        if t < len(pictures) - 1:
            inside = F.interpolate(probabilities[:, :, : full[0], : full[1]], size, mode="bilinear", align_corners=False)
            ious.append(_iou(inside[0].argmax(0).cpu().numpy() == 1, picture.labels == 1))
    return float(np.mean(ious))


def _prepare(picture: Picture, short_side: int, stride: int) -> tuple[Tensor, tuple[int, int], tuple[int, int]]:
    """Normalised frame padded at the right and bottom, its own size and its size at ``short_side``."""
    height, width = picture.labels.shape
    scale = short_side / min(height, width)
    full = round(height * scale), round(width * scale)
    small = cv2.resize(picture.image, full[::-1], interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    frame = normalise(torch.from_numpy(np.asarray(small, np.uint8))[None])
    return F.pad(frame, (0, -full[1] % stride, 0, -full[0] % stride)), (height, width), full


def _iou(found: np.ndarray, truth: np.ndarray) -> float:
    union = np.count_nonzero(found | truth)
    return 1.0 if union == 0 else np.count_nonzero(found & truth) / union
