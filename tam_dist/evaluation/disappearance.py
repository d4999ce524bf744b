"""Generated clips in which an object leaves the picture and comes back, alone or beside a look-alike.

A cut-out of a still wanders over a real sequence, which runs to and fro for as long as is wanted, leaves across a border for a
while, and returns from elsewhere. What should be marked is known exactly. Everything follows from the seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from tam_dist.errors import ConfigError
from tam_dist.types import BoolArray, FloatArray, UInt8Array

#: Frames with the object in view before it leaves and after it is back.
BEFORE, AFTER = 24, 24
#: Frames it takes to cross the border.
CROSSING = 6
_SPRITE_SHARE = (0.25, 0.45)  # of the frame's short side
_LEAST_SPRITE = 0.02


@dataclass(frozen=True, eq=False)
class Sprite:
    """``colour`` uint8 (h, w, 3), ``alpha`` bool (h, w)."""

    colour: UInt8Array
    alpha: BoolArray


@dataclass(frozen=True, eq=False)
class Clip:
    """``frames`` uint8 (T, H, W, 3); ``object`` and ``twin`` bool (T, H, W), where they are seen; ``gone`` bool (T,)."""

    name: str
    frames: UInt8Array
    object: BoolArray
    twin: BoolArray
    gone: BoolArray


@dataclass(frozen=True)
class Plot:
    """What happens: ``absence`` frames out of the picture; ``twin``: a look-alike stays in view all the time."""

    absence: int
    twin: bool

    @property
    def length(self) -> int:
        return BEFORE + CROSSING + self.absence + CROSSING + AFTER


def make_clip(background: Sequence[UInt8Array], sprite: Sprite, plot: Plot, seed: int, name: str = "") -> Clip:
    """``background``: uint8 (H, W, 3) frames of one size, at least one."""
    rng = np.random.default_rng(seed)
    height, width = background[0].shape[:2]
    share = rng.uniform(*_SPRITE_SHARE)
    own = _fitted(sprite, share * height)
    path = _path(rng, plot, width, height, own.alpha.shape)
    frames = np.empty((plot.length, height, width, 3), np.uint8)
    seen, twin = (np.zeros((plot.length, height, width), bool) for _ in range(2))
    other = Sprite(_toned(own.colour[:, ::-1], rng), own.alpha[:, ::-1].copy())
    ox, oy, phase = width - path[0][0], rng.uniform(0.35, 0.65) * height, rng.uniform(0, 6.28)
    for t in range(plot.length):
        frame = background[_to_and_fro(t, len(background))].copy()
        if plot.twin:
            centre = (ox + 0.06 * width * np.sin(phase + t / 9), oy + 0.05 * height * np.cos(phase + t / 7))
            twin[t] = _paste(frame, other, centre, 4 * np.sin(t / 8))
        seen[t] = _paste(frame, own, path[t], 6 * np.sin(t / 6 + phase))
        twin[t] &= ~seen[t]
        frames[t] = frame
    return Clip(name, frames, seen, twin, np.array([not each.any() for each in seen]))


def read_backgrounds(root: Path, names: Sequence[str] | None = None) -> dict[str, list[UInt8Array]]:
    """Sequences of a folder in DAVIS's layout, by name."""
    folder = root / "JPEGImages"
    chosen = names or sorted(p.name for p in folder.iterdir() if p.is_dir())
    return {n: [np.asarray(Image.open(f).convert("RGB")) for f in sorted((folder / n).glob("*.jpg"))] for n in chosen}


def read_sprites(root: Path, count: int, seed: int) -> list[Sprite]:
    """Whole objects, not cut by the border, from ``root/images`` and ``root/masks``; raises :class:`ConfigError` for none."""
    files = sorted((root / "masks").glob("*.png"))
    order = np.random.default_rng(seed).permutation(len(files))
    found: list[Sprite] = []
    for i in order:
        if len(found) == count:
            break
        sprite = cut_out(files[i], root / "images" / f"{files[i].stem}.jpg")
        if sprite is not None:
            found.append(sprite)
    if not found:
        raise ConfigError(f"There is no whole object in {root}; expected masks/*.png beside images/*.jpg.")
    return found


def cut_out(mask_file: Path, image_file: Path) -> Sprite | None:
    """The image's largest object, None where that is small or touches the border."""
    labels = np.asarray(Image.open(mask_file))
    areas = np.bincount(labels.ravel(), minlength=256)[1:255]
    value = int(areas.argmax()) + 1
    mask = labels == value
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows) or areas[value - 1] < _LEAST_SPRITE * labels.size:
        return None
    y0, y1, x0, x1 = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    if y0 == 0 or x0 == 0 or y1 == mask.shape[0] or x1 == mask.shape[1]:
        return None
    image = np.asarray(Image.open(image_file).convert("RGB"))
    return Sprite(image[y0:y1, x0:x1].copy(), mask[y0:y1, x0:x1].copy())


def _fitted(sprite: Sprite, size: float) -> Sprite:
    scale = size / max(sprite.alpha.shape)
    shape = (max(4, round(sprite.alpha.shape[1] * scale)), max(4, round(sprite.alpha.shape[0] * scale)))
    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    alpha = cv2.resize(sprite.alpha.astype(np.float32), shape, interpolation=kind) > 0.5
    return Sprite(np.asarray(cv2.resize(sprite.colour, shape, interpolation=kind), np.uint8), alpha)


def _toned(colour: UInt8Array, rng: np.random.Generator) -> UInt8Array:
    gain, shift = rng.uniform(0.85, 1.15, 3), rng.uniform(-18, 18, 3)
    toned: UInt8Array = np.clip(colour * gain + shift, 0, 255).astype(np.uint8)
    return toned


def _to_and_fro(t: int, length: int) -> int:
    if length == 1:
        return 0
    at = t % (2 * length - 2)
    return at if at < length else 2 * length - 2 - at


def _path(rng: np.random.Generator, plot: Plot, width: int, height: int, sprite: tuple[int, ...]) -> FloatArray:
    """The object's centre in each frame, float (T, 2): in view, out across one side, back from the other or the same."""
    side, back = (int(rng.choice([-1, 1])) for _ in range(2))
    y0, y1 = rng.uniform(0.35, 0.65, 2) * height

    def inside(of: int) -> float:
        return width / 2 + of * width * 0.22

    def outside(of: int) -> float:
        return width / 2 + of * (width / 2 + sprite[1])

    t = np.arange(plot.length)
    knots = np.cumsum([0, BEFORE, CROSSING, plot.absence, CROSSING, AFTER])
    xs = [inside(side), inside(side), outside(side), outside(back), inside(back), inside(back)]
    hidden = (t >= knots[2]) & (t < knots[3])
    x = np.interp(t, knots, xs) + 0.04 * width * np.sin(t / 8)
    y = np.interp(t, knots, [y0, y0, y0, y1, y1, y1]) + 0.05 * height * np.cos(t / 10)
    x[hidden] = -2 * width
    return np.stack([x, y], 1).astype(np.float32)


def _paste(frame: UInt8Array, sprite: Sprite, centre: Sequence[float] | FloatArray, degrees: float) -> BoolArray:
    """Draw the sprite and return where it is seen, bool (H, W)."""
    h, w = sprite.alpha.shape
    turn = cv2.getRotationMatrix2D((w / 2, h / 2), degrees, 1.0)
    turn[:, 2] += np.asarray(centre, float) - (w / 2, h / 2)
    size = frame.shape[1::-1]
    alpha = cv2.warpAffine(sprite.alpha.astype(np.float32), turn, size, flags=cv2.INTER_LINEAR)
    colour = cv2.warpAffine(sprite.colour, turn, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    frame[:] = (frame * (1 - alpha[..., None]) + colour * alpha[..., None]).astype(np.uint8)
    seen: BoolArray = alpha > 0.5
    return seen
