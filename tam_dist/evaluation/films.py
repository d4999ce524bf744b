"""Films of several shots in which objects come back, joined from the sequences of a folder in DAVIS's layout.

Each film has two objects, from a sequence each. Each appears in three shots: in the beginning of its sequence, in its end, and
in its beginning again, mirrored and played backwards. Two shots of other sequences, in which neither is, lie between. Made
always the same for the same seed. Use sequences that nothing is evaluated on otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from tam_dist.errors import ConfigError
from tam_dist.evaluation.davis import VideoSequence, find_sequences
from tam_dist.types import BoolArray, UInt8Array

#: Frames of a shot: cuts fall anywhere on the grid of chunks.
SHOT_FRAMES = (33, 45)
#: Frames that a sequence must have for its object to be tracked: of fewer, beginning and end are nearly the same.
_LEAST = 60
#: The order of the shots: objects 1 and 2, and 0 for a shot without either.
_PLOT = (1, 2, 0, 1, 2, 0, 2, 1)


@dataclass(frozen=True, eq=False)
class Film:
    """``frames`` uint8 (T, H, W, 3); ``labels`` uint8 (T, H, W), 0 background, 1 and 2 the objects; ``cuts`` are the frames
    that begin a shot.
    """

    name: str
    frames: UInt8Array
    labels: UInt8Array
    cuts: tuple[int, ...]

    @property
    def shots(self) -> list[range]:
        return [range(a, b) for a, b in pairwise((0, *self.cuts, len(self.frames)))]

    def visible(self, number: int) -> list[int]:
        """The frames that object ``number`` is in."""
        return [int(t) for t in np.flatnonzero((self.labels == number).any((1, 2)))]

    def spread(self, number: int, count: int) -> list[int]:
        """``count`` of them, the first and others at equal distances."""
        frames = self.visible(number)
        return [frames[i * len(frames) // count] for i in range(min(count, len(frames)))]

    def write(self, folder: Path) -> Path:
        """As a folder of images, which is a video. Returns ``folder``."""
        folder.mkdir(parents=True)
        for t, frame in enumerate(self.frames):
            Image.fromarray(frame).save(folder / f"{t:05d}.jpg", quality=95)
        return folder


def make_films(root: Path, count: int, seed: int = 1) -> list[Film]:
    """Raises :class:`ConfigError` where ``root`` has too few sequences that are long enough."""
    sequences = find_sequences(root, 2016)
    long = [s for s in sequences if len(s.label_files()) >= _LEAST]
    others = _PLOT.count(0)
    if len(long) < 2 or len(sequences) < 2 + others:
        raise ConfigError(
            f"{root} has {len(sequences)} sequences, {len(long)} of them with {_LEAST} frames or more: "
            f"films need {2 + others} and 2."
        )
    rng = np.random.default_rng(seed)
    return [_film(f"film{n}", rng, long, sequences) for n in range(count)]


def _film(name: str, rng: np.random.Generator, long: Sequence[VideoSequence], sequences: Sequence[VideoSequence]) -> Film:
    cast = [long[i] for i in rng.choice(len(long), 2, replace=False)]
    rest = [s for s in sequences if s not in cast]
    extras = iter([rest[i] for i in rng.choice(len(rest), _PLOT.count(0), replace=False)])
    size = _size(cast[0])
    frames: list[UInt8Array] = []
    labels: list[UInt8Array] = []
    seen = [0, 0, 0]
    for who in _PLOT:
        sequence = cast[who - 1] if who else next(extras)
        numbers = list(range(len(sequence.label_files())))
        length = int(rng.integers(*SHOT_FRAMES))
        part = numbers[-length:] if seen[who] == 1 else numbers[:length]
        mirrored = bool(who) and seen[who] == 2
        pictures, masks = _read(sequence, part[::-1] if mirrored else part, size)
        step = -1 if mirrored else 1
        frames.append(pictures[:, :, ::step])
        labels.append((masks[:, :, ::step] * who).astype(np.uint8))
        seen[who] += 1
    cuts = tuple(accumulate(len(shot) for shot in frames[:-1]))
    return Film(name, np.concatenate(frames), np.concatenate(labels), cuts)


def _size(sequence: VideoSequence) -> tuple[int, int]:
    """(W, H)."""
    labels = sequence.labels(0)
    return labels.shape[1], labels.shape[0]


def _read(sequence: VideoSequence, numbers: Sequence[int], size: tuple[int, int]) -> tuple[UInt8Array, BoolArray]:
    """Frames uint8 (n, H, W, 3) and masks bool (n, H, W), brought to ``size`` (W, H)."""
    files = sorted(sequence.frames.glob("*.jpg"))
    pictures = [np.asarray(Image.open(files[n]).convert("RGB").resize(size)) for n in numbers]
    masks = [cv2.resize(sequence.labels(n), size, interpolation=cv2.INTER_NEAREST) > 0 for n in numbers]
    return np.stack(pictures), np.stack(masks)
