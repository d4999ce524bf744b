"""Synthetic video clips made from still images or real frames.

A small propagation model sees too little real video (DAVIS-2016 has thirty training sequences), so most of what it learns
about shape and appearance comes from stills moved about, as in STM and XMem (arXiv 2207.07115, section 4). Clips have cuts,
for the first model trained without them marked every person after the first one. :mod:`tam_dist.training.crowds` makes the
clips whose things look alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from tam_dist.training.layers import IGNORE, UNTRACKED, Clip, Layer, Looks, Picture, drift, jolted, render
from tam_dist.types import FloatArray, UInt8Array


@dataclass(frozen=True)
class ClipSettings:
    """How clips are made; probabilities 0..1, motions in units of half the frame's side per step.

    ``cut``: the clip has a second shot; ``elsewhere``: of those, the second shot shows another scene, without the object;
    ``jolt``: the camera jumps inside a shot; ``gone``: a thing in a crowd is away for some frames; ``small`` and ``faded``:
    a crowd's things are tiny, or nearly of the background's colour.
    """

    motion: float = 0.10
    composite: float = 0.35
    intruder: float = 0.40
    copy: float = 0.25
    min_area: float = 0.004
    min_window: float = 0.55
    cut: float = 0.30
    elsewhere: float = 0.30
    jolt: float = 0.12
    gone: float = 0.20
    small: float = 0.20
    faded: float = 0.12
    looks: Looks = field(default_factory=Looks)


@dataclass(frozen=True)
class Shot:
    """Frames ``start``..``stop`` - 1 of a clip; ``elsewhere``: of a scene without the tracked objects."""

    start: int
    stop: int
    elsewhere: bool = False


_ATTEMPTS = 8
_PASTED = UNTRACKED + 90  # what is pasted in; below come the other things of the pictures themselves


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
        present = objects_of(target, settings)
        chosen = rng.permutation(present)[: max(1, objects)] if len(present) else present
        extra = _strangers(rng, donors, range(len(chosen) + 1, objects + 1), settings)

        def layers(shot: Shot, chosen: NDArray[np.int64] = chosen, extra: Sequence[Cutout] = extra) -> list[Layer]:
            frames = shot.stop - shot.start
            if shot.elsewhere:
                return [_other_scene(rng, donors, frames, settings)]
            return _still_layers(rng, target, donors, chosen, extra, frames, settings)

        clip = film(rng, layers, shots(rng, length, settings), size, settings)
        if starts_well(clip, objects, settings):
            return clip
    return last_resort(rng, target, size, length, objects, settings)


def video_clip(
    rng: np.random.Generator,
    frames: Sequence[Picture],
    donors: Sequence[Picture],
    *,
    size: int,
    objects: int,
    settings: ClipSettings,
    elsewhere: Sequence[Picture] = (),
) -> Clip:
    """The same from real frames, which keep their own motion under one window.

    Tracked are objects of the first frame, others are pasted where there are too few. ``elsewhere`` are as many frames of
    another sequence, for cuts to a scene without the object.
    """
    length = len(frames)
    for _ in range(_ATTEMPTS):
        present = rng.permutation(objects_of(frames[0], settings))[:objects]
        ids = scene_ids(present)
        extra = _strangers(rng, donors, range(len(present) + 1, objects + 1), settings)
        if len(present) and rng.random() < settings.copy:
            # the object a second time, as it is in some frame: gone from a later one, it is taken from the first
            other = frames[int(rng.integers(length))]
            source = other if present[0] in objects_of(other, settings) else frames[0]
            extra.append(Cutout(source, int(present[0]), _PASTED + 1))

        def layers(shot: Shot, ids: UInt8Array = ids, extra: Sequence[Cutout] = extra) -> list[Layer]:
            span = shot.stop - shot.start
            if shot.elsewhere and elsewhere:
                scene, ids = elsewhere[shot.start : shot.stop], scene_ids([])
                return [_scene_layer(rng, scene, ids, drift(rng, span, 0.25 * settings.motion), settings)]
            scene = frames[shot.start : shot.stop]
            moving = [_scene_layer(rng, scene, ids, drift(rng, span, 0.25 * settings.motion), settings)]
            return moving + _pasted(rng, extra, span, settings)

        clip = film(rng, layers, shots(rng, length, settings), size, settings, warped=False)
        if starts_well(clip, objects, settings):
            return clip
    return last_resort(rng, frames[0], size, length, objects, settings)


# --- shots -------------------------------------------------------------------------------------------------------------


def shots(rng: np.random.Generator, length: int, settings: ClipSettings) -> list[Shot]:
    """One shot, or two with a cut between, or a view of something else in between or at the end."""
    if length < 2 or rng.random() >= settings.cut:
        return [Shot(0, length)]
    at = int(rng.integers(1, length))
    if rng.random() >= settings.elsewhere:
        return [Shot(0, at), Shot(at, length)]
    back = int(rng.integers(at + 1, length + 1))
    return [Shot(0, at), Shot(at, back, elsewhere=True)] + ([Shot(back, length)] if back < length else [])


def film(
    rng: np.random.Generator,
    layers: Callable[[Shot], Sequence[Layer]],
    plan: Sequence[Shot],
    size: int,
    settings: ClipSettings,
    *,
    warped: bool = True,
) -> Clip:
    """Render each shot from the layers that ``layers`` makes for it and join them."""
    parts = []
    for shot in plan:
        length, scene = shot.stop - shot.start, list(layers(shot))
        if length > 1 and rng.random() < settings.jolt:
            scene = jolted(rng, scene, int(rng.integers(1, length)))
        parts.append(render(rng, scene, size, length, settings.looks, warped=warped))
    return Clip(np.concatenate([p.frames for p in parts]), np.concatenate([p.instances for p in parts]))


# --- layers ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Cutout:
    """The object ``label`` of a picture, which becomes ``new`` in the clip."""

    picture: Picture
    label: int
    new: int


def objects_of(picture: Picture, settings: ClipSettings) -> NDArray[np.int64]:
    """Labels of the objects large enough to be tracked."""
    counts = np.bincount(picture.labels.ravel(), minlength=256)
    counts[[0, IGNORE]] = 0
    return np.flatnonzero(counts >= settings.min_area * picture.labels.size)


def scene_ids(tracked: Sequence[int] | NDArray[np.int64]) -> UInt8Array:
    """A picture's labels to a clip's: ``tracked`` become 1, 2 …, all others things that nobody asked for."""
    ids = (UNTRACKED + np.arange(256) % 90).astype(np.uint8)
    ids[0], ids[IGNORE] = 0, IGNORE
    for new, old in enumerate(tracked, start=1):
        ids[old] = new
    return ids


def _still_layers(
    rng: np.random.Generator,
    target: Picture,
    donors: Sequence[Picture],
    chosen: NDArray[np.int64],
    extra: Sequence[Cutout],
    length: int,
    settings: ClipSettings,
) -> list[Layer]:
    if len(chosen) and rng.random() < settings.composite:
        layers = [_other_scene(rng, donors, length, settings)]
        for new, old in enumerate(chosen, start=1):
            layers.append(object_layer(rng, Cutout(target, int(old), new), drift(rng, length, settings.motion)))
    else:
        layers = [_scene_layer(rng, [target], scene_ids(chosen), drift(rng, length, settings.motion), settings)]
    if len(chosen) and rng.random() < settings.copy * settings.intruder:
        # the same thing a second time, untracked: only place and motion tell the two apart
        twin = Cutout(target, int(chosen[0]), _PASTED + 1)
        layers.append(object_layer(rng, twin, drift(rng, length, settings.motion)))
    return layers + _pasted(rng, extra, length, settings)


def _other_scene(rng: np.random.Generator, donors: Sequence[Picture], length: int, settings: ClipSettings) -> Layer:
    backdrop = donors[int(rng.integers(len(donors)))]
    return _scene_layer(rng, [backdrop], scene_ids([]), drift(rng, length, settings.motion), settings)


def backdrop_layer(rng: np.random.Generator, picture: Picture, length: int, settings: ClipSettings) -> Layer:
    """``picture`` as the ground that tracked objects stand before; its own objects are untracked."""
    return _scene_layer(rng, [picture], scene_ids([]), drift(rng, length, 0.5 * settings.motion), settings)


def _strangers(rng: np.random.Generator, donors: Sequence[Picture], new_ids: range, settings: ClipSettings) -> list[Cutout]:
    """Objects of other images: tracked ones for ``new_ids`` and, sometimes, one that is not."""
    wanted = list(new_ids)
    if rng.random() < settings.intruder:
        wanted.append(_PASTED)
    found = []
    for new in wanted:
        donor = donors[int(rng.integers(len(donors)))]
        present = objects_of(donor, settings)
        if len(present):
            found.append(Cutout(donor, int(rng.choice(present)), new))
    return found


def _pasted(rng: np.random.Generator, cutouts: Sequence[Cutout], length: int, settings: ClipSettings) -> list[Layer]:
    layers = []
    for cutout in cutouts:
        fast = 1.6 if cutout.new >= UNTRACKED else 1.0
        layers.append(object_layer(rng, cutout, drift(rng, length, fast * settings.motion)))
    rng.shuffle(layers)  # who hides whom
    return layers


def _scene_layer(
    rng: np.random.Generator, pictures: Sequence[Picture], ids: UInt8Array, motion: FloatArray, settings: ClipSettings
) -> Layer:
    """A whole picture, its window laid so that it shows a tracked object and stays inside the picture."""
    height, width = pictures[0].labels.shape
    half = 0.5 * min(height, width) * rng.uniform(settings.min_window, 1.0)
    shown = ids[pictures[0].labels]
    inside = np.flatnonzero(((shown > 0) & (shown < UNTRACKED)).ravel())
    at = int(rng.choice(inside)) if len(inside) else int(rng.integers(height * width))
    cy, cx = divmod(at, width)
    cx = float(np.clip(cx + half * rng.uniform(-0.5, 0.5), half, max(half, width - half)))
    cy = float(np.clip(cy + half * rng.uniform(-0.5, 0.5), half, max(half, height - half)))
    return Layer(pictures, ids, (cx, cy, half), motion, opaque=True)


def object_layer(rng: np.random.Generator, cutout: Cutout, motion: FloatArray) -> Layer:
    """One object cut out, scaled to 15..60 % of the frame and laid somewhere near its middle."""
    px, py = rng.uniform(-0.6, 0.6, 2)
    return placed_layer(cutout, motion, rng.uniform(0.15, 0.60), (px, py))


def placed_layer(cutout: Cutout, motion: FloatArray, share: float, place: tuple[float, float]) -> Layer:
    """One object cut out, its longer side ``share`` of the frame, at ``place`` (x, y in -1..1)."""
    rows, columns = np.nonzero(cutout.picture.labels == cutout.label)
    x0, x1, y0, y1 = columns.min(), columns.max() + 1, rows.min(), rows.max() + 1
    half = 0.5 * max(x1 - x0, y1 - y0) / share
    ids = np.zeros(256, np.uint8)
    ids[cutout.label] = cutout.new
    centre = float(x0 + x1) / 2 - half * place[0], float(y0 + y1) / 2 - half * place[1]
    return Layer([cutout.picture], ids, (*centre, half), motion, opaque=False)


# --- what is acceptable -----------------------------------------------------------------------------------------------


def starts_well(clip: Clip, objects: int, settings: ClipSettings) -> bool:
    """Each object covers enough of frame 0 to be learnt from, and none fills it."""
    counts = np.bincount(clip.instances[0].ravel(), minlength=objects + 1)[1 : objects + 1]
    share = counts / clip.instances[0].size
    return bool(np.all(share >= settings.min_area) and np.all(share <= 0.8))


def last_resort(
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
    layer = Layer(
        [Picture(image, labels)],
        scene_ids(range(1, objects + 1)),
        (width / 2, height / 2, min(height, width) / 2),
        drift(rng, length, 0.5 * settings.motion),
        opaque=True,
    )
    return render(rng, [layer], size, length, settings.looks)
