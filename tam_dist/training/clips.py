"""Synthetic video clips: layers that wander, warp, hide each other and change colour, made from still images or real frames.

A small propagation model sees too little real video (DAVIS-2016 has thirty training sequences), so most of what it learns
about shape and appearance comes from stills moved about, as in STM and XMem (arXiv 2207.07115, section 4). Everything is a
*layer*: one image (or one a frame) with labels, looked at through a window that moves. Pure functions of a random
generator; OpenCV and NumPy only, so that a worker process starts quickly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tam_dist.types import FloatArray, UInt8Array

IGNORE = 255
"""Label of pixels whose object is not known (outlines in VOC); they take no part in the loss."""


@dataclass(frozen=True, eq=False)
class Picture:
    """``image`` uint8 (H, W, 3) RGB; ``labels`` uint8 (H, W), 0 background, 1..K objects, 255 not known."""

    image: UInt8Array
    labels: UInt8Array


@dataclass(frozen=True, eq=False)
class Clip:
    """``frames`` uint8 (T, S, S, 3) RGB; ``labels`` uint8 (T, S, S): 0 background, 1..n the tracked objects, 255 not known."""

    frames: UInt8Array
    labels: UInt8Array


@dataclass(frozen=True)
class ClipSettings:
    """How clips are made; probabilities 0..1, motions in units of half the frame's side per step."""

    motion: float = 0.10
    warp: float = 0.035
    composite: float = 0.35
    intruder: float = 0.40
    copy: float = 0.25
    blur: float = 0.20
    grey: float = 0.03
    min_area: float = 0.004
    min_window: float = 0.55


@dataclass(frozen=True, eq=False)
class _Layer:
    """``pictures``: one for all frames or one a frame. ``ids`` maps the pictures' labels to the clip's: uint8 (256,).

    ``window`` (cx, cy, half) in source pixels is what the frame [-1, 1]² shows before ``motion`` float32 (T, 3, 3), which
    maps homogeneous frame coordinates to window coordinates. ``opaque``: covers the whole frame (the first layer), else
    only where its label is one of ``ids``' non-zero entries or 254, the label of things in the way.
    """

    pictures: Sequence[Picture]
    ids: UInt8Array
    window: tuple[float, float, float]
    motion: FloatArray
    opaque: bool


_IN_THE_WAY = 254
_ATTEMPTS = 8


def still_clip(
    rng: np.random.Generator,
    target: Picture,
    donors: Sequence[Picture],
    *,
    size: int,
    length: int,
    objects: int,
    settings: ClipSettings,
) -> Clip:
    """A clip of ``length`` frames of ``size`` pixels with exactly ``objects`` tracked objects, all visible in frame 0.

    ``target`` gives the first object, ``donors`` (at least one) other backgrounds, further objects and things in the way.
    """
    for _ in range(_ATTEMPTS):
        clip = _render(rng, _still_layers(rng, target, donors, length, objects, settings), size, length, settings)
        if _starts_well(clip, objects, settings):
            return clip
    return _last_resort(rng, target, size, length, objects, settings)


def video_clip(
    rng: np.random.Generator,
    frames: Sequence[Picture],
    donors: Sequence[Picture],
    *,
    size: int,
    objects: int,
    settings: ClipSettings,
) -> Clip:
    """The same from real frames, which keep their own motion under one window; objects beyond the first are pasted."""
    length = len(frames)
    for _ in range(_ATTEMPTS):
        layers = [_scene_layer(rng, frames, _identity_ids(1), _drift(rng, length, 0.25 * settings.motion), settings)]
        layers += _pasted(rng, donors, range(2, objects + 1), length, settings)
        clip = _render(rng, layers, size, length, settings, warped=False)
        if _starts_well(clip, objects, settings):
            return clip
    return _last_resort(rng, frames[0], size, length, objects, settings)


# --- layers ------------------------------------------------------------------------------------------------------------


def _still_layers(
    rng: np.random.Generator,
    target: Picture,
    donors: Sequence[Picture],
    length: int,
    objects: int,
    settings: ClipSettings,
) -> list[_Layer]:
    present = _objects_of(target, settings)
    chosen = rng.permutation(present)[: max(1, objects)] if len(present) else present
    if len(chosen) and rng.random() < settings.composite:
        backdrop = donors[int(rng.integers(len(donors)))]
        layers = [_scene_layer(rng, [backdrop], np.zeros(256, np.uint8), _drift(rng, length, settings.motion), settings)]
        for new, old in enumerate(chosen, start=1):
            layers.append(_object_layer(rng, target, int(old), new, _drift(rng, length, settings.motion)))
    else:
        ids = np.zeros(256, np.uint8)
        ids[IGNORE] = IGNORE
        for new, old in enumerate(chosen, start=1):
            ids[old] = new
        layers = [_scene_layer(rng, [target], ids, _drift(rng, length, settings.motion), settings)]
    if len(chosen) and rng.random() < settings.copy * settings.intruder:
        # the same thing a second time, untracked: only place and motion tell the two apart
        layers.append(_object_layer(rng, target, int(chosen[0]), _IN_THE_WAY, _drift(rng, length, settings.motion)))
    return layers + _pasted(rng, donors, range(len(chosen) + 1, objects + 1), length, settings)


def _pasted(
    rng: np.random.Generator, donors: Sequence[Picture], new_ids: range, length: int, settings: ClipSettings
) -> list[_Layer]:
    """Objects cut out of other images: tracked ones for ``new_ids`` and, sometimes, one that is not."""
    wanted = list(new_ids)
    if rng.random() < settings.intruder:
        wanted.append(_IN_THE_WAY)
    layers = []
    for new in wanted:
        donor = donors[int(rng.integers(len(donors)))]
        present = _objects_of(donor, settings)
        if len(present):
            fast = 1.6 if new == _IN_THE_WAY else 1.0
            motion = _drift(rng, length, fast * settings.motion)
            layers.append(_object_layer(rng, donor, int(rng.choice(present)), new, motion))
    rng.shuffle(layers)  # who hides whom
    return layers


def _objects_of(picture: Picture, settings: ClipSettings) -> NDArray[np.int64]:
    counts = np.bincount(picture.labels.ravel(), minlength=256)
    counts[[0, IGNORE]] = 0
    return np.flatnonzero(counts >= settings.min_area * picture.labels.size)


def _scene_layer(
    rng: np.random.Generator, pictures: Sequence[Picture], ids: UInt8Array, motion: FloatArray, settings: ClipSettings
) -> _Layer:
    """A whole picture, its window laid so that it shows a tracked object and stays inside the picture."""
    height, width = pictures[0].labels.shape
    half = 0.5 * min(height, width) * rng.uniform(settings.min_window, 1.0)
    inside = np.flatnonzero((ids[pictures[0].labels] % IGNORE).ravel())
    at = int(rng.choice(inside)) if len(inside) else int(rng.integers(height * width))
    cy, cx = divmod(at, width)
    cx = float(np.clip(cx + half * rng.uniform(-0.5, 0.5), half, max(half, width - half)))
    cy = float(np.clip(cy + half * rng.uniform(-0.5, 0.5), half, max(half, height - half)))
    return _Layer(pictures, ids, (cx, cy, half), motion, opaque=True)


def _object_layer(rng: np.random.Generator, picture: Picture, old: int, new: int, motion: FloatArray) -> _Layer:
    """One object cut out, scaled to 15..60 % of the frame and laid somewhere near its middle."""
    rows, columns = np.nonzero(picture.labels == old)
    x0, x1, y0, y1 = columns.min(), columns.max() + 1, rows.min(), rows.max() + 1
    share = rng.uniform(0.15, 0.60)
    half = 0.5 * max(x1 - x0, y1 - y0) / share
    px, py = rng.uniform(-0.6, 0.6, 2)
    ids = np.zeros(256, np.uint8)
    ids[old] = new
    return _Layer([picture], ids, (float(x0 + x1) / 2 - half * px, float(y0 + y1) / 2 - half * py, half), motion, opaque=False)


def _identity_ids(last: int) -> UInt8Array:
    ids = np.zeros(256, np.uint8)
    ids[1 : last + 1] = np.arange(1, last + 1)
    ids[IGNORE] = IGNORE
    return ids


# --- motion and rendering ----------------------------------------------------------------------------------------------


def _drift(rng: np.random.Generator, length: int, strength: float) -> FloatArray:
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


def _render(
    rng: np.random.Generator,
    layers: Sequence[_Layer],
    size: int,
    length: int,
    settings: ClipSettings,
    *,
    warped: bool = True,
) -> Clip:
    flipped = rng.random() < 0.5
    axis = (np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1
    across = -axis if flipped else axis
    frames = np.empty((length, size, size, 3), np.uint8)
    labels = np.empty((length, size, size), np.uint8)
    looks = [_tone_curve(rng) for _ in layers]
    bends = [_bend(rng, size, settings.warp) if warped else None for _ in layers]
    for t in range(length):
        for layer, look, bend in zip(layers, looks, bends, strict=True):
            picture = layer.pictures[t if len(layer.pictures) > 1 else 0]
            image, found = _look_through(layer, picture, (across, axis), t, bend)
            image = np.asarray(cv2.LUT(image, look), np.uint8)
            if layer.opaque:
                frames[t], labels[t] = image, found
                continue
            shape = (found > 0).astype(np.float32)
            alpha = cv2.GaussianBlur(shape, (0, 0), 0.8)[..., None]
            frames[t] = (frames[t] + alpha * (image.astype(np.float32) - frames[t])).astype(np.uint8)
            labels[t][found > 0] = found[found > 0]
    labels[labels == _IN_THE_WAY] = 0
    _spoil(rng, frames, settings)
    return Clip(frames, labels)


def _look_through(
    layer: _Layer,
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


def _tone_curve(rng: np.random.Generator) -> UInt8Array:
    """Brightness, contrast, gamma and a tint as a table uint8 (1, 256, 3) for ``cv2.LUT``."""
    x = np.linspace(0, 1, 256)[:, None]
    gamma = np.exp(rng.normal(scale=0.15))
    gain = np.exp(rng.normal(scale=0.10) + rng.normal(scale=0.04, size=3))
    curve = gain * (x**gamma - 0.5) + 0.5 + rng.normal(scale=0.05)
    return np.asarray(np.clip(255 * curve, 0, 255)[None], np.uint8)


def _spoil(rng: np.random.Generator, frames: UInt8Array, settings: ClipSettings) -> None:
    """In place: light that drifts, blur in some frames, now and then no colour at all."""
    brightness = np.cumsum(rng.normal(scale=5.0, size=len(frames)))
    blurry = rng.random() < settings.blur
    grey = rng.random() < settings.grey
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


# --- what is acceptable -----------------------------------------------------------------------------------------------


def _starts_well(clip: Clip, objects: int, settings: ClipSettings) -> bool:
    """Each object covers enough of frame 0 to be learnt from, and none fills it."""
    share = np.bincount(clip.labels[0].ravel(), minlength=objects + 1)[1 : objects + 1] / clip.labels[0].size
    return bool(np.all(share >= settings.min_area) and np.all(share <= 0.8))


def _last_resort(
    rng: np.random.Generator, target: Picture, size: int, length: int, objects: int, settings: ClipSettings
) -> Clip:
    """Discs on the picture: for the rare target with no usable object, so that a batch is never short."""
    height, width = target.labels.shape
    labels = np.zeros((height, width), np.uint8)
    for k in range(1, objects + 1):
        centre = (int(width * (0.2 + 0.6 * k / (objects + 1))), int(height * rng.uniform(0.35, 0.65)))
        cv2.circle(labels, centre, max(4, min(height, width) // 8), k, -1)
    image = target.image.copy()
    for k in range(1, objects + 1):
        image[labels == k] = rng.integers(0, 256, 3)
    layer = _Layer(
        [Picture(image, labels)],
        _identity_ids(objects),
        (width / 2, height / 2, min(height, width) / 2),
        _drift(rng, length, 0.5 * settings.motion),
        opaque=True,
    )
    return _render(rng, [layer], size, length, settings)
