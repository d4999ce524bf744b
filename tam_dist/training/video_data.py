"""Training pictures packed once into memory-mapped files, and batches of clips made from them in a worker process.

Decoding JPEG and PNG files costs more than warping them; packed at the size they are used, a picture is a slice of a
mapped file, shared by all processes through the page cache.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader, IterableDataset

from tam_dist.errors import ResourceError, TamDistError
from tam_dist.training.clips import Clip, ClipSettings, Picture, still_clip, video_clip


class TrainingDataError(TamDistError):
    """Training data is missing or does not fit together."""


# --- packing -----------------------------------------------------------------------------------------------------------


class PackedPictures:
    """Pictures by number, in groups (the frames of a sequence; a still is a group of one), read from two mapped files."""

    def __init__(self, folder: Path) -> None:
        try:
            index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise TrainingDataError(f"{folder} holds no packed pictures; pack them again.") from error
        self.folder = folder
        self.names: list[str] = index["names"]
        self.groups: list[tuple[int, int]] = [tuple(group) for group in index["groups"]]
        self._sizes = np.array(index["sizes"], np.int64).reshape(-1, 2)
        self._starts = np.concatenate([[0], np.cumsum(self._sizes.prod(axis=1))])
        self._images = np.memmap(folder / "images.bin", np.uint8, "r")
        self._labels = np.memmap(folder / "labels.bin", np.uint8, "r")

    def __len__(self) -> int:
        return len(self._sizes)

    def __getitem__(self, number: int) -> Picture:
        height, width = self._sizes[number]
        start, stop = self._starts[number], self._starts[number + 1]
        image = np.asarray(self._images[3 * start : 3 * stop]).reshape(height, width, 3)
        return Picture(image, np.asarray(self._labels[start:stop]).reshape(height, width))

    def __reduce__(self) -> tuple[type[PackedPictures], tuple[Path]]:
        return PackedPictures, (self.folder,)  # a worker maps the files itself; pickling a map would copy all of it

    def group(self, name: str) -> range:
        """The picture numbers of the group called ``name``."""
        first, count = self.groups[self.names.index(name)]
        return range(first, first + count)


def pack_stills(images: Path, masks: Path, out: Path) -> PackedPictures:
    """Pack every picture that has a mask: ``images``/X.jpg with ``masks``/X.png (indexed: 0, 1..K, 255 not known)."""
    pairs = [(mask.stem, [(images / f"{mask.stem}.jpg", mask)]) for mask in sorted(masks.glob("*.png"))]
    return _pack(pairs, out)


def pack_sequences(root: Path, out: Path) -> PackedPictures:
    """Pack sequences laid out as in DAVIS: ``root``/JPEGImages/SEQ/*.jpg and ``root``/Annotations/SEQ/*.png."""
    groups = []
    for folder in sorted((root / "Annotations").iterdir()):
        masks = sorted(folder.glob("*.png"))
        groups.append((folder.name, [(root / "JPEGImages" / folder.name / f"{m.stem}.jpg", m) for m in masks]))
    return _pack(groups, out)


def _pack(groups: Sequence[tuple[str, Sequence[tuple[Path, Path]]]], out: Path) -> PackedPictures:
    if (out / "index.json").exists():
        return PackedPictures(out)
    if not groups:
        raise TrainingDataError(f"There is nothing to pack into {out}: no masks were found.")
    out.mkdir(parents=True, exist_ok=True)
    sizes: list[tuple[int, ...]] = []
    ranges: list[tuple[int, int]] = []
    with (out / "images.bin").open("wb") as images, (out / "labels.bin").open("wb") as labels:
        for _, pairs in groups:
            ranges.append((len(sizes), len(pairs)))
            for image_path, mask_path in pairs:
                picture = _load(image_path, mask_path)
                images.write(picture.image.tobytes())
                labels.write(picture.labels.tobytes())
                sizes.append(picture.labels.shape)
    index = {"names": [name for name, _ in groups], "groups": ranges, "sizes": sizes}
    with tempfile.NamedTemporaryFile("w", dir=out, delete=False, encoding="utf-8") as file:
        json.dump(index, file)
    os.replace(file.name, out / "index.json")  # last: an interrupted packing starts again
    return PackedPictures(out)


def _load(image_path: Path, mask_path: Path) -> Picture:
    try:
        with Image.open(image_path) as file:
            image = np.asarray(file.convert("RGB"))
        with Image.open(mask_path) as file:
            labels = np.asarray(file)
    except OSError as error:
        raise TrainingDataError(f"The training picture {image_path} or its mask cannot be read: {error}") from error
    if labels.shape != image.shape[:2]:
        raise TrainingDataError(f"The mask {mask_path} is {labels.shape} but its picture is {image.shape[:2]}.")
    return Picture(image, labels.astype(np.uint8))


# --- batches -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class ClipBatch:
    """``frames`` uint8 (B, T, 3, S, S); ``labels`` uint8 (B, T, S, S): 0, 1..``objects``, 255 not known."""

    frames: torch.Tensor
    labels: torch.Tensor
    objects: int


@dataclass(frozen=True)
class Stage:
    """What clips are made from ``start`` (a share of the whole run, 0..1) on; in between, values are held.

    ``video_share`` of the clips are real video, ``max_skip`` frames apart at most; ``batch`` clips with one object, fewer
    with more, so that a step costs about the same.
    """

    start: float
    size: int
    length: int
    batch: int
    video_share: float
    max_skip: int


def stage_at(stages: Sequence[Stage], progress: float) -> Stage:
    """The last stage that has started.

    >>> a, b = (Stage(s, 192, 3, 8, 0.2, 2) for s in (0.0, 0.5))
    >>> stage_at([a, b], 0.49) is a, stage_at([a, b], 0.5) is b
    (True, True)
    """
    return [stage for stage in stages if stage.start <= progress][-1]


class ClipSource:
    """Draws batches; the same (seed, number, progress) gives the same batch. Picklable, so that a worker can hold it."""

    def __init__(
        self,
        stills: PackedPictures,
        videos: PackedPictures,
        stages: Sequence[Stage],
        settings: ClipSettings,
        *,
        held_out: Sequence[str] = (),
        object_shares: Sequence[float] = (0.6, 0.3, 0.1),
        seed: int = 0,
    ) -> None:
        unknown = sorted(set(held_out) - set(videos.names))
        if unknown:
            raise TrainingDataError(f"The held-out sequence {unknown[0]} is not in {videos.folder}.")
        self.stills, self.videos = stills, videos
        self.stages = sorted(stages, key=lambda stage: stage.start)
        self.settings = settings
        self.sequences = [name for name in videos.names if name not in held_out]
        self.object_shares = np.asarray(object_shares) / np.sum(object_shares)
        self.seed = seed

    def batch(self, number: int, progress: float) -> ClipBatch:
        """Batch ``number`` of a run that has done ``progress`` (0..1) of its time."""
        rng = np.random.default_rng([self.seed, number])
        stage = stage_at(self.stages, progress)
        objects = 1 + int(rng.choice(len(self.object_shares), p=self.object_shares))
        count = max(2, round(stage.batch / (0.5 + 0.5 * objects)))
        clips = [self._clip(rng, stage, objects) for _ in range(count)]
        frames = torch.from_numpy(np.stack([clip.frames for clip in clips])).permute(0, 1, 4, 2, 3).contiguous()
        return ClipBatch(frames, torch.from_numpy(np.stack([clip.labels for clip in clips])), objects)

    def _clip(self, rng: np.random.Generator, stage: Stage, objects: int) -> Clip:
        donors = [self.stills[int(number)] for number in rng.integers(len(self.stills), size=3)]
        if rng.random() < stage.video_share:
            name = self.sequences[int(rng.integers(len(self.sequences)))]
            numbers = draw_frames(rng, len(self.videos.group(name)), stage.length, stage.max_skip)
            frames = [self.videos[self.videos.group(name)[i]] for i in numbers]
            return video_clip(rng, frames, donors, size=stage.size, objects=objects, settings=self.settings)
        target = self.stills[int(rng.integers(len(self.stills)))]
        return still_clip(rng, target, donors, size=stage.size, length=stage.length, objects=objects, settings=self.settings)


def draw_frames(rng: np.random.Generator, available: int, length: int, max_skip: int) -> NDArray[np.int64]:
    """Frame numbers int64 (length,), 1..``max_skip`` apart, forwards or backwards, within 0..``available`` - 1.

    >>> draw_frames(np.random.default_rng(0), 3, 3, 9).tolist() in ([0, 1, 2], [2, 1, 0])
    True
    """
    if available < length:
        raise TrainingDataError(f"A clip needs {length} frames but a training sequence has {available}.")
    longest = min(max_skip, (available - 1) // max(1, length - 1))
    numbers = np.concatenate([[0], np.cumsum(rng.integers(1, longest + 1, size=length - 1))])
    numbers += rng.integers(available - numbers[-1])
    return cast(NDArray[np.int64], numbers[::-1] if rng.random() < 0.5 else numbers)


class _Stream(IterableDataset[ClipBatch]):
    def __init__(self, source: ClipSource, first: int, progress: Any) -> None:
        self.source, self.first, self.progress = source, first, progress

    def __iter__(self) -> Iterator[ClipBatch]:
        cv2.setNumThreads(1)
        worker = torch.utils.data.get_worker_info()
        number = self.first + (worker.id if worker else 0)
        while True:
            yield self.source.batch(number, float(self.progress.value))
            number += worker.num_workers if worker else 1


class ClipStream:
    """An endless iterator of batches from worker processes that are told the run's ``progress``.

    With ``workers`` = 0 batches are made in this process, when asked for.
    """

    def __init__(self, source: ClipSource, *, first: int = 0, workers: int = 1, prefetch: int = 4) -> None:
        # spawn: a forked worker inherits the locks of OpenCV's and torch's threads and may wait for them for ever
        self._progress = multiprocessing.get_context("spawn").Value("d", 0.0)
        dataset = _Stream(source, first, self._progress)
        options: dict[str, Any] = {"prefetch_factor": prefetch, "multiprocessing_context": "spawn"} if workers else {}
        self._batches = iter(DataLoader(dataset, batch_size=None, num_workers=workers, **options))

    def __iter__(self) -> Iterator[ClipBatch]:
        return self

    def __next__(self) -> ClipBatch:
        try:
            return cast(ClipBatch, next(self._batches))
        except RuntimeError as error:
            raise ResourceError(f"The worker process that makes training clips died: {error}") from error

    def set_progress(self, progress: float) -> None:
        """Share of the run done, 0..1; batches already made are not made again."""
        self._progress.value = progress


def split_objects(labels: torch.Tensor, objects: int) -> torch.Tensor:
    """uint8 labels (..., H, W) to float32 masks (..., n, H, W) of objects 1..n; unknown pixels belong to none."""
    ids = torch.arange(1, objects + 1, dtype=labels.dtype, device=labels.device)
    return (labels.unsqueeze(-3) == ids.view(-1, 1, 1)).float()
