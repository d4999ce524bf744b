"""Layers that wander, warp, hide each other and change colour: what synthetic clips are rendered from.

A *layer* is one image (or one a frame) with labels, looked at through a window that moves. Pure functions of a random
generator; OpenCV and NumPy only, so that a worker process starts quickly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from tam_dist.types import FloatArray, UInt8Array

IGNORE = 255
"""Label of pixels whose object is not known (outlines in VOC); they take no part in the loss."""

UNTRACKED = 100
"""Labels from here to 254 are things that nobody asked for: background to the masks, but objects of their own to the
losses that tell objects apart."""


@dataclass(frozen=True, eq=False)
class Picture:
    """``image`` uint8 (H, W, 3) RGB; ``labels`` uint8 (H, W), 0 background, 1..K objects, 255 not known."""

    image: UInt8Array
    labels: UInt8Array


@dataclass(frozen=True, eq=False)
class Clip:
    """``frames`` uint8 (T, S, S, 3) RGB; ``instances`` uint8 (T, S, S): 0 background, 1..n the tracked objects,
    100..254 other things, 255 not known."""

    frames: UInt8Array
    instances: UInt8Array

    @property
    def labels(self) -> UInt8Array:
        """``instances`` with the untracked ones as background: what a tracker should answer."""
        untracked = (self.instances >= UNTRACKED) & (self.instances < IGNORE)
        return np.where(untracked, 0, self.instances).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Layer:
    """``pictures``: one for all frames or one a frame. ``ids`` maps the pictures' labels to the clip's: uint8 (256,).

    ``window`` (cx, cy, half) in source pixels is what the frame [-1, 1]² shows before ``motion`` float32 (T, 3, 3), which
    maps homogeneous frame coordinates to window coordinates. ``opaque``: covers the whole frame (the first layer), else
    only where ``ids`` of its label is not zero. In frames in ``absent`` it is not there.
    """

    pictures: Sequence[Picture]
    ids: UInt8Array
    window: tuple[float, float, float]
    motion: FloatArray
    opaque: bool
    absent: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Looks:
    """What happens to all layers together; probabilities 0..1, ``warp`` in units of half the frame's side."""

    warp: float = 0.035
    blur: float = 0.20
    grey: float = 0.06


# --- motion ------------------------------------------------------------------------------------------------------------


def drift(rng: np.random.Generator, length: int, strength: float) -> FloatArray:
    """A random walk with momentum of similarity, shear and perspective; float32 (length, 3, 3), the first near identity."""
    scales = strength * np.array([1.0, 1.0, 0.9, 1.1, 0.4, 0.3, 0.3])  # x, y, log size, angle, shear, perspective x, y
    velocity = rng.normal(size=7) * scales
    steps = velocity + 0.6 * rng.normal(size=(length, 7)) * scales
    steps[0] = rng.normal(size=7) * np.array([0.0, 0.0, 0.0, 0.12, 0.08, 0.04, 0.04])  # nobody holds a camera straight
    tx, ty, log_size, angle, shear, gx, gy = np.cumsum(steps, axis=0).T
    grow = np.exp(np.clip(log_size, -0.7, 0.7))
    matrices = np.zeros((length, 3, 3), np.float32)
    matrices[:, 0, 0], matrices[:, 0, 1], matrices[:, 0, 2] = grow * np.cos(angle), grow * (shear - np.sin(angle)), tx
    matrices[:, 1, 0], matrices[:, 1, 1], matrices[:, 1, 2] = grow * np.sin(angle), grow * np.cos(angle), ty
    matrices[:, 2, 0], matrices[:, 2, 1], matrices[:, 2, 2] = np.clip(gx, -0.25, 0.25), np.clip(gy, -0.25, 0.25), 1.0
    return matrices


def shifted(motion: FloatArray, places: FloatArray) -> FloatArray:
    """``motion`` with the window's middle carried to ``places`` float (T, 2), x and y in frame coordinates -1..1."""
    moves = np.repeat(np.eye(3, dtype=np.float32)[None], len(motion), axis=0)
    moves[:, :2, 2] = -places
    return np.asarray(motion @ moves, np.float32)


def jolted(rng: np.random.Generator, layers: Sequence[Layer], at: int) -> list[Layer]:
    """``layers`` from frame ``at`` on seen by a camera that jumped: everything moves, turns and grows together."""
    angle, grow = rng.normal(scale=0.15), np.exp(rng.normal(scale=0.2))
    jump = np.eye(3, dtype=np.float32)
    jump[:2, :2] = grow * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    jump[:2, 2] = rng.uniform(-0.45, 0.45, 2)
    result = []
    for layer in layers:
        motion = layer.motion.copy()
        motion[at:] = motion[at:] @ jump
        result.append(Layer(layer.pictures, layer.ids, layer.window, motion, layer.opaque, layer.absent))
    return result


# --- rendering ---------------------------------------------------------------------------------------------------------


def render(
    rng: np.random.Generator, layers: Sequence[Layer], size: int, length: int, looks: Looks, *, warped: bool = True
) -> Clip:
    """A clip of ``length`` frames of ``size`` pixels, later layers over earlier ones; without ``warped`` nothing bends."""
    flipped = rng.random() < 0.5
    axis = (np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1
    across = -axis if flipped else axis
    frames = np.empty((length, size, size, 3), np.uint8)
    labels = np.empty((length, size, size), np.uint8)
    tones = [tone_curve(rng) for _ in layers]
    bends = [_bend(rng, size, looks.warp) if warped else None for _ in layers]
    for t in range(length):
        for layer, tone, bend in zip(layers, tones, bends, strict=True):
            if t in layer.absent:
                continue
            picture = layer.pictures[t if len(layer.pictures) > 1 else 0]
            image, found = _look_through(layer, picture, (across, axis), t, bend)
            image = np.asarray(cv2.LUT(image, tone), np.uint8)
            if layer.opaque:
                frames[t], labels[t] = image, found
                continue
            alpha = cv2.GaussianBlur((found > 0).astype(np.float32), (0, 0), 0.8)[..., None]
            frames[t] = (frames[t] + alpha * (image.astype(np.float32) - frames[t])).astype(np.uint8)
            labels[t][found > 0] = found[found > 0]
    _spoil(rng, frames, looks)
    return Clip(frames, labels)


def _look_through(
    layer: Layer,
    picture: Picture,
    axes: tuple[FloatArray, FloatArray],
    t: int,
    bend: tuple[FloatArray, FloatArray] | None,
) -> tuple[UInt8Array, UInt8Array]:
    """The layer's image uint8 (S, S, 3) and its clip labels uint8 (S, S) in frame ``t``; ``axes``: x and y in -1..1."""
    x, y = axes
    cx, cy, half = layer.window
    (a, b, c), (d, e, f), (g, h, i) = layer.motion[t]
    scale = np.float32(half) / np.maximum(g * x + (h * y + i)[:, None], np.float32(0.2))
    map_x = (a * x + (b * y + c)[:, None]) * scale + np.float32(cx - 0.5)
    map_y = (d * x + (e * y + f)[:, None]) * scale + np.float32(cy - 0.5)
    if bend is not None:
        still, moving = bend
        shift = np.float32(half) * (still + np.float32(t) * moving)
        map_x += shift[0]
        map_y += shift[1]
    # a mirrored border keeps image and labels in step; a cut-out object must not come back mirrored
    border = cv2.BORDER_REFLECT_101 if layer.opaque else cv2.BORDER_CONSTANT
    image = cv2.remap(picture.image, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    found = cv2.remap(picture.labels, map_x, map_y, cv2.INTER_NEAREST, borderMode=border)
    return np.asarray(image, np.uint8), layer.ids[found]


def _bend(rng: np.random.Generator, size: int, strength: float) -> tuple[FloatArray, FloatArray]:
    """Two smooth displacement fields float32 (2, S, S), x and y: a constant one and the change per frame."""
    knots = int(rng.integers(3, 6))
    fields = rng.normal(size=(4, knots, knots)).astype(np.float32) * np.float32(strength * rng.uniform(0, 1))
    smooth = np.stack([cv2.resize(field, (size, size), interpolation=cv2.INTER_CUBIC) for field in fields])
    return smooth[:2], smooth[2:]


def tone_curve(rng: np.random.Generator, strength: float = 1.0) -> UInt8Array:
    """Brightness, contrast, gamma and a tint as a table uint8 (1, 256, 3) for ``cv2.LUT``."""
    x = np.linspace(0, 1, 256)[:, None]
    gamma = np.exp(rng.normal(scale=0.15 * strength))
    gain = np.exp(rng.normal(scale=0.10 * strength) + rng.normal(scale=0.04 * strength, size=3))
    curve = gain * (x**gamma - 0.5) + 0.5 + rng.normal(scale=0.05 * strength)
    return np.asarray(np.clip(255 * curve, 0, 255)[None], np.uint8)


def _spoil(rng: np.random.Generator, frames: UInt8Array, looks: Looks) -> None:
    """In place: light that drifts, blur in some frames, now and then no colour at all."""
    brightness = np.cumsum(rng.normal(scale=5.0, size=len(frames)))
    blurry = rng.random() < looks.blur
    grey = rng.random() < looks.grey
    for t, frame in enumerate(frames):
        spoilt = cv2.LUT(frame, np.clip(np.arange(256) + brightness[t], 0, 255).astype(np.uint8))
        if blurry and rng.random() < 0.6:
            spoilt = _streak(rng, np.asarray(spoilt, np.uint8))
        if grey:
            spoilt = cv2.cvtColor(cv2.cvtColor(spoilt, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        frames[t] = spoilt


def _streak(rng: np.random.Generator, frame: UInt8Array) -> UInt8Array:
    """Motion blur of 3 to 9 pixels in a random direction."""
    reach = int(rng.integers(3, 10))
    angle = rng.uniform(0, np.pi)
    kernel = np.zeros((reach, reach), np.float32)
    middle = (reach - 1) / 2
    dx, dy = middle * np.cos(angle), middle * np.sin(angle)
    ends = (round(middle - dx), round(middle - dy)), (round(middle + dx), round(middle + dy))
    cv2.line(kernel, *ends, 1.0)
    return np.asarray(cv2.filter2D(frame, -1, kernel / kernel.sum()), np.uint8)
