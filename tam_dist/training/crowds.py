"""Clips of two to four things that look alike: only what one of them looks like, and where it was, tells it from the rest.

The model that learnt from single salient objects followed "a person", not "this person": after a cut it marked everybody.
Here things of one kind stand side by side, cross and pass behind each other, are gone and come back, and after a cut all
stand elsewhere, some of them missing, at times the tracked one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from tam_dist.training.clips import (
    ClipSettings,
    Cutout,
    Shot,
    backdrop_layer,
    film,
    last_resort,
    placed_layer,
    shots,
    starts_well,
)
from tam_dist.training.layers import UNTRACKED, Clip, Layer, Picture, drift, shifted, tone_curve
from tam_dist.types import FloatArray, UInt8Array

_ATTEMPTS = 6


def crowd_clip(
    rng: np.random.Generator,
    cast: Sequence[Cutout],
    backdrops: Sequence[Picture],
    *,
    size: int,
    length: int,
    objects: int,
    settings: ClipSettings,
) -> Clip:
    """A clip of ``length`` frames of ``size`` pixels in which ``cast`` moves about; its first ``objects`` are tracked.

    ``cast`` are things of one kind (:func:`cut_out`, :func:`look_alike`); ``backdrops`` (at least one) what they stand before.
    """
    for _ in range(_ATTEMPTS):
        small = rng.random() < settings.small
        share = float(rng.uniform(0.10, 0.18) if small else rng.uniform(0.2, 0.5))
        grounds = [backdrops[int(rng.integers(len(backdrops)))] for _ in range(2)]
        actors = list(cast)
        if rng.random() < settings.faded:
            actors = [_faded(rng, actor, grounds[0]) for actor in actors]
        actors = [replace(a, new=i if i <= objects else UNTRACKED + 30 + i) for i, a in enumerate(actors, start=1)]

        def layers(
            shot: Shot,
            actors: Sequence[Cutout] = actors,
            grounds: Sequence[Picture] = grounds,
            share: float = share,
        ) -> list[Layer]:
            ground = grounds[0] if shot.start == 0 or rng.random() < 0.3 else grounds[1]
            seen = [a for a in actors if _is_there(rng, a, shot)]
            return [backdrop_layer(rng, ground, shot.stop - shot.start, settings), *stage(rng, seen, shot, share, settings)]

        clip = film(rng, layers, shots(rng, length, settings), size, settings)
        easier = replace(settings, min_area=0.4 * settings.min_area if small else settings.min_area)
        if starts_well(clip, objects, easier):
            return clip
    return last_resort(rng, backdrops[0], size, length, objects, settings)


def cut_out(picture: Picture, label: int, *, smallest: int = 24) -> Cutout | None:
    """The object alone, with some of its surroundings; None where it is under ``smallest`` pixels long or not there."""
    rows, columns = np.nonzero(picture.labels == label)
    if not len(rows) or max(np.ptp(rows), np.ptp(columns)) < smallest:
        return None
    window = slice(max(0, rows.min() - 4), rows.max() + 5), slice(max(0, columns.min() - 4), columns.max() + 5)
    alone = np.ascontiguousarray(picture.labels[window] == label).astype(np.uint8)
    return Cutout(Picture(np.ascontiguousarray(picture.image[window]), alone), 1, 1)


def look_alike(rng: np.random.Generator, actor: Cutout) -> Cutout:
    """The same thing in another colour or brightness, mirrored half the time: its twin in shape, yet to be told apart."""
    image = cv2.cvtColor(actor.picture.image, cv2.COLOR_RGB2HSV).astype(np.int16)
    image[..., 0] = (image[..., 0] + int(rng.integers(25, 156))) % 180
    image[..., 1] += int(rng.integers(0, 70))
    image[..., 2] += int(rng.choice([-1, 1]) * rng.integers(25, 60))
    changed = cv2.cvtColor(np.clip(image, 0, 255).astype(np.uint8), cv2.COLOR_HSV2RGB)
    return _changed(rng, actor, np.asarray(cv2.LUT(changed, tone_curve(rng)), np.uint8))


def _changed(rng: np.random.Generator, actor: Cutout, image: UInt8Array) -> Cutout:
    labels = actor.picture.labels
    if rng.random() < 0.5:
        image, labels = np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(labels[:, ::-1])
    return replace(actor, picture=Picture(image, labels))


def _faded(rng: np.random.Generator, actor: Cutout, ground: Picture) -> Cutout:
    mean = ground.image.reshape(-1, 3).mean(axis=0)
    strength = rng.uniform(0.3, 0.65)
    image = (actor.picture.image * (1 - strength) + mean * strength).astype(np.uint8)
    return replace(actor, picture=Picture(image, actor.picture.labels))


def _is_there(rng: np.random.Generator, actor: Cutout, shot: Shot) -> bool:
    if shot.start == 0:
        return True
    tracked = actor.new < UNTRACKED
    return bool(rng.random() < (0.15 if shot.elsewhere and tracked else 0.85))


def stage(rng: np.random.Generator, actors: Sequence[Cutout], shot: Shot, share: float, settings: ClipSettings) -> list[Layer]:
    """Where each actor goes in a shot, the ones behind first."""
    length = shot.stop - shot.start
    starts = _spots(rng, len(actors))
    ends = starts + rng.normal(scale=0.15, size=starts.shape).astype(np.float32)
    if len(actors) > 1 and rng.random() < 0.5:  # two change places, and meet half-way
        a, b = rng.permutation(len(actors))[:2]
        ends[[a, b]] = starts[[b, a]]
    along = np.linspace(0, 1, max(2, length), dtype=np.float32)[:length, None]
    layers = []
    for actor, start, end in zip(actors, starts, ends, strict=True):
        motion = shifted(drift(rng, length, 0.6 * settings.motion), start + along * (end - start))
        layer = placed_layer(actor, motion, share * float(rng.uniform(0.8, 1.2)), (0.0, 0.0))
        if shot.start + length > 2 and length > 1 and rng.random() < settings.gone:
            away = int(rng.integers(1, length))
            until = int(rng.integers(away + 1, length + 1))
            layer = replace(layer, absent=frozenset(range(away, until)))
        layers.append(layer)
    rng.shuffle(layers)
    return layers


def _spots(rng: np.random.Generator, count: int) -> FloatArray:
    """Places side by side in random order, float32 (count, 2)."""
    if not count:
        return np.zeros((0, 2), np.float32)
    x = np.linspace(-0.6, 0.6, count) if count > 1 else rng.uniform(-0.5, 0.5, 1)
    places = np.stack([rng.permutation(x), rng.uniform(-0.35, 0.35, count)], 1)
    return np.asarray(places + rng.normal(scale=0.08, size=places.shape), np.float32)
