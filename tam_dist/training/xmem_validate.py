"""How well a network follows held-out sequences and films: for watching training and choosing, not for reporting.

The loop is the plain one (first and every fifth frame in memory, hidden state, top-k), without long-term memory; the figures
that count come from the inference engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tam_dist.models.xmem.network import XMem, normalise
from tam_dist.training.films import FILM_CUT, film_pictures, look_alike_film, right_one
from tam_dist.training.layers import IGNORE, Picture
from tam_dist.training.packed import PackedPictures
from tam_dist.training.xmem_clip import Memory
from tam_dist.types import UInt8Array


@dataclass(frozen=True)
class HeldOut:
    """``sequences``: by a name for the log, pictures of a sequence whose first frame's objects are followed. ``films``: sources
    of look-alikes and how many films each gives, before ``backdrops``."""

    sequences: Mapping[str, Sequence[Picture]]
    films: Sequence[tuple[PackedPictures, int]]
    backdrops: PackedPictures | None


def validate(network: XMem, held_out: HeldOut) -> dict[str, float]:
    """J of each held-out sequence; ``film_J`` after the cut and ``film_right``, the share of films that go on with the right
    thing after it."""
    scores = {name: region_similarity(network, pictures) for name, pictures in held_out.sequences.items()}
    right, overlap = [], []
    for packed, count in held_out.films:
        assert held_out.backdrops is not None
        for seed in range(count):
            clip = look_alike_film(packed, held_out.backdrops, seed)
            maps = follow(network, film_pictures(clip), [1])
            right.append(right_one([labels == 1 for labels in maps], clip))
            overlap.append(np.mean([_iou(maps[t] == 1, clip.instances[t] == 1) for t in range(FILM_CUT, len(maps))]))
    if right:
        scores |= {"film_J": float(np.mean(overlap)), "film_right": float(np.mean(right))}
    return scores


def region_similarity(network: XMem, pictures: Sequence[Picture], *, short_side: int = 256, top_k: int = 30) -> float:
    """Mean IoU 0..1 over the objects of the first frame and all frames but the first and the last; pixels whose object is
    not known are left out."""
    objects = [int(label) for label in np.unique(pictures[0].labels) if 0 < label < IGNORE]
    maps = follow(network, pictures, objects, short_side=short_side, top_k=top_k)
    ious = []
    for found, picture in list(zip(maps, pictures, strict=True))[1:-1]:
        known = picture.labels != IGNORE
        ious += [_iou((found == k) & known, picture.labels == label) for k, label in enumerate(objects, start=1)]
    return float(np.mean(ious))


@torch.no_grad()
def follow(
    network: XMem,
    pictures: Sequence[Picture],
    objects: Sequence[int],
    *,
    short_side: int = 256,
    top_k: int = 30,
    mem_every: int = 5,
) -> list[UInt8Array]:
    """Propagate the masks of frame 0's labels ``objects``: uint8 (H, W) of the pictures' own size for each frame, 1 for the
    first of ``objects``, 2 for the next …, 0 background."""
    was_training = network.training
    network.eval()
    memory, hidden = Memory(), torch.zeros(0)
    device = next(network.parameters()).device
    maps: list[UInt8Array] = []
    for t, picture in enumerate(pictures):
        frame, size, full = _prepare(picture, short_side, network.stride)
        frame = frame.to(device)
        features = network.encode_key(frame)
        if t == 0:
            truth = np.stack([picture.labels == label for label in objects])
            masks = F.interpolate(torch.from_numpy(truth.astype(np.float32))[None], full)
            masks = F.pad(masks, (0, frame.shape[-1] - full[1], 0, frame.shape[-2] - full[0])).to(device)
            hidden = masks.new_zeros(1, len(objects), network.config.hidden_dim, *features.key.shape[-2:])
            value, hidden = network.encode_value(frame, features, hidden, masks)
            memory.add(features, value)
            maps.append((truth * np.arange(1, len(objects) + 1)[:, None, None]).max(0).astype(np.uint8))
            continue
        readout, _ = memory.read(features, top_k)
        enters = t % mem_every == 0
        hidden, _, probabilities = network.segment(features, readout, hidden, not enters)
        if enters:
            value, hidden = network.encode_value(frame, features, hidden, probabilities[:, 1:])
            memory.add(features, value)
        inside = F.interpolate(probabilities[:, :, : full[0], : full[1]], size, mode="bilinear", align_corners=False)
        maps.append(inside[0].argmax(0).cpu().numpy().astype(np.uint8))
    network.train(was_training)
    return maps


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
