"""The DAVIS benchmark (Table 1 of the Track Anything paper) over a folder in DAVIS's layout.

Layout: ``JPEGImages/480p/<sequence>/*.jpg`` and ``Annotations/480p/<sequence>/*.png``; the level ``480p`` may be missing.
The sequences are those of ``ImageSets/<year>/val.txt`` where it is there, else all that have annotations.

The first and last frame of a sequence are not scored: both years' official semi-supervised evaluations leave them out. 2016
merges all objects into one; 2017 scores each object, with pixels labelled 255 left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from tam_dist.errors import ConfigError
from tam_dist.evaluation.metrics import Statistics, contour_accuracy, region_similarity, statistics
from tam_dist.types import BoolArray, UInt8Array

#: Pixels of which the truth is not known.
VOID = 255
_LEVEL = "480p"


@dataclass(frozen=True)
class VideoSequence:
    """One video: ``frames`` is its folder of images; ``annotations`` maps are read with :meth:`labels`. Prompts are given at
    ``start``, a share of its length: 0 is the first frame, 0.5 the middle one.
    """

    name: str
    frames: Path
    annotations: Path
    merge: bool
    start: float = 0.0

    @cached_property
    def prompted_frame(self) -> int:
        return int(self.start * (len(self.label_files()) - 1))

    def label_files(self) -> list[Path]:
        return sorted(self.annotations.glob("*.png"))

    def labels(self, index: int) -> UInt8Array:
        """uint8 (H, W): 0 background, 1..K objects, 255 void (2017 only)."""
        labels: UInt8Array = np.asarray(Image.open(self.label_files()[index]), np.uint8)
        if labels.ndim == 3:
            labels = np.any(labels, axis=2).astype(np.uint8)
        if self.merge or set(np.unique(labels)) <= {0, VOID}:
            labels = (labels > 0).astype(np.uint8)
        return labels

    def objects(self) -> list[int]:
        """The objects of the prompted frame, which are the ones tracked."""
        return [int(v) for v in np.unique(self.labels(self.prompted_frame)) if v not in (0, VOID)]


@dataclass(frozen=True)
class ObjectScore:
    """Scores 0..1 of one object of one sequence."""

    sequence: str
    object: int
    j: Statistics
    f: Statistics

    @property
    def j_and_f(self) -> float:
        return (self.j.mean + self.f.mean) / 2


@dataclass(frozen=True)
class DavisReport:
    """Means over objects, as the official tables have them."""

    scores: tuple[ObjectScore, ...]
    frames_per_second: float
    config: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        def mean(of: Callable[[ObjectScore], float]) -> float:
            return float(np.mean([of(s) for s in self.scores]))

        return {
            "J&F-Mean": mean(lambda s: s.j_and_f),
            "J-Mean": mean(lambda s: s.j.mean),
            "J-Recall": mean(lambda s: s.j.recall),
            "J-Decay": mean(lambda s: s.j.decay),
            "F-Mean": mean(lambda s: s.f.mean),
            "F-Recall": mean(lambda s: s.f.recall),
            "F-Decay": mean(lambda s: s.f.decay),
            "sequences": {
                name: [{"object": s.object, "J": asdict(s.j), "F": asdict(s.f)} for s in self.scores if s.sequence == name]
                for name in dict.fromkeys(s.sequence for s in self.scores)
            },
            "frames_per_second": self.frames_per_second,
            "config": self.config,
        }


def find_sequences(root: Path, year: int, names: Sequence[str] | None = None, *, start: float = 0.0) -> list[VideoSequence]:
    """Raises :class:`ConfigError` where the folder has no such layout or lacks a named sequence."""
    images, annotations = (_level(root / kind) for kind in ("JPEGImages", "Annotations"))
    listed = root / "ImageSets" / str(year) / "val.txt"
    if names is None:
        names = (
            listed.read_text(encoding="utf-8").split()
            if listed.exists()
            else sorted(p.name for p in annotations.iterdir() if p.is_dir())
        )
    found = [VideoSequence(name, images / name, annotations / name, merge=year == 2016, start=start) for name in names]
    for sequence in found:
        if not sequence.frames.is_dir() or not sequence.label_files():
            raise ConfigError(f"{root} has no frames or no annotations of the sequence {sequence.name!r}.")
    if not found:
        raise ConfigError(f"{root} has no sequences.")
    return found


def score_sequence(sequence: VideoSequence, predicted: Callable[[int], UInt8Array]) -> Iterator[ObjectScore]:
    """``predicted(i)`` gives the label map (H, W) of frame i, with the objects' own ids. The prompted frame is not scored."""
    files = sequence.label_files()
    objects = sequence.objects()
    j: dict[int, list[float]] = {o: [] for o in objects}
    f: dict[int, list[float]] = {o: [] for o in objects}
    for index in range(1, len(files) - 1):
        if index == sequence.prompted_frame:
            continue
        truth, ours = sequence.labels(index), predicted(index)
        if ours.shape != truth.shape:  # annotations of another size than the frames: compare at theirs
            ours = cv2.resize(ours, truth.shape[::-1], interpolation=cv2.INTER_NEAREST).astype(np.uint8)
        void: BoolArray | None = truth == VOID if (truth == VOID).any() else None
        for o in objects:
            j[o].append(region_similarity(ours == o, truth == o, void))
            f[o].append(contour_accuracy(ours == o, truth == o, void))
    for o in objects:
        yield ObjectScore(sequence.name, o, statistics(j[o]), statistics(f[o]))


def _level(folder: Path) -> Path:
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not there; --root must be a folder in DAVIS's layout.")
    return folder / _LEVEL if (folder / _LEVEL).is_dir() else folder
