"""Batches of clips drawn from packed pictures, made in worker processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, IterableDataset

from tam_dist.errors import ResourceError
from tam_dist.training.clips import ClipSettings, Cutout, objects_of, still_clip, video_clip
from tam_dist.training.crowds import crowd_clip, cut_out, look_alike
from tam_dist.training.hard_clips import HardClips
from tam_dist.training.layers import Clip, Picture
from tam_dist.training.packed import PackedPictures, TrainingDataError


@dataclass(frozen=True, eq=False)
class ClipBatch:
    """``frames`` uint8 (B, T, 3, S, S); ``instances`` uint8 (B, T, S, S): 0, 1..``objects`` tracked, 100..254 other things,
    255 not known. ``recipes`` are the numbers that the clips can be made from again."""

    frames: torch.Tensor
    instances: torch.Tensor
    objects: int
    recipes: list[int]

    @property
    def labels(self) -> torch.Tensor:
        """``instances`` with other things as background."""
        return self.instances.masked_fill((self.instances > self.objects) & (self.instances < 255), 0)


@dataclass(frozen=True)
class Stage:
    """What clips are made from ``start`` (a share of the whole run, 0..1) on; in between, values are held.

    ``video_share`` of the clips are real video, ``max_skip`` frames apart at most, ``crowd_share`` things that look alike, the
    rest single stills; ``batch`` clips with one object, fewer with more, so that a step costs about the same.
    """

    start: float
    size: int
    length: int
    batch: int
    video_share: float
    crowd_share: float
    max_skip: int


def stage_at(stages: Sequence[Stage], progress: float) -> Stage:
    """The last stage that has started.

    >>> a, b = (Stage(s, 192, 3, 8, 0.2, 0.1, 2) for s in (0.0, 0.5))
    >>> stage_at([a, b], 0.49) is a, stage_at([a, b], 0.5) is b
    (True, True)
    """
    return [stage for stage in stages if stage.start <= progress][-1]


class Library:
    """Packed sources and how often each is drawn from: ``stills`` and ``videos`` map a source's folder in ``cache`` to its
    share. Sequences named in ``held_out`` ("source/sequence" or the sequence alone) are never drawn.

    Raises :class:`TrainingDataError` where a source is not packed or a held-out sequence is not there.
    """

    def __init__(
        self, cache: Path, stills: Mapping[str, float], videos: Mapping[str, float], held_out: Sequence[str] = ()
    ) -> None:
        self.stills = [PackedPictures(cache / name) for name in stills]
        self.videos = [PackedPictures(cache / name) for name in videos]
        self._still_shares = _normalised(stills.values())
        self._video_shares = _normalised(videos.values())
        names = {name for packed in self.videos for name in packed.names}
        unknown = sorted(set(held_out) - names)
        if unknown:
            raise TrainingDataError(f"The held-out sequence {unknown[0]} is in none of {', '.join(videos)}.")
        self.sequences = [[name for name in packed.names if name not in held_out] for packed in self.videos]
        self._by_kind: dict[str, list[tuple[int, int, int]]] = {}
        for source, packed in enumerate(self.stills):
            for number, kinds in enumerate(packed.kinds):
                for label, kind in enumerate(kinds, start=1):
                    if kind:
                        self._by_kind.setdefault(kind, []).append((source, number, label))
        self._by_kind = {kind: found for kind, found in sorted(self._by_kind.items()) if len(found) >= 4}
        self._kind_shares = _normalised([len(found) ** 0.5 for found in self._by_kind.values()])

    def still(self, rng: np.random.Generator) -> Picture:
        """Some still."""
        packed = self.stills[int(rng.choice(len(self.stills), p=self._still_shares))]
        return packed[int(rng.integers(len(packed)))]

    def frames(self, rng: np.random.Generator, length: int, max_skip: int) -> list[Picture]:
        """Frames of some sequence, in order or backwards."""
        source = int(rng.choice(len(self.videos), p=self._video_shares))
        packed, names = self.videos[source], self.sequences[source]
        numbers = packed.group(names[int(rng.integers(len(names)))])
        return [packed[numbers[i]] for i in draw_frames(rng, len(numbers), length, max_skip)]

    def cast(self, rng: np.random.Generator, count: int, settings: ClipSettings) -> list[Cutout]:
        """``count`` things that look alike: of one kind where kinds are known, else one thing and copies in other colours."""
        actors: list[Cutout] = []
        if self._by_kind and rng.random() < 0.6:
            kind = list(self._by_kind)[int(rng.choice(len(self._by_kind), p=self._kind_shares))]
            known = self._by_kind[kind]
            for _ in range(3 * count):
                source, number, label = known[int(rng.integers(len(known)))]
                found = cut_out(self.stills[source][number], label)
                if found is not None and len(actors) < count:
                    actors.append(found)
        while not actors:
            picture = self.still(rng)
            present = objects_of(picture, settings)
            found = cut_out(picture, int(rng.choice(present))) if len(present) else None
            if found is not None:
                actors.append(found)
        while len(actors) < count:
            actors.append(look_alike(rng, actors[0]))
        return actors


def _normalised(shares: Any) -> NDArray[np.float64]:
    values = np.asarray(list(shares), np.float64)
    return values / values.sum() if len(values) else values


_CLIPS_A_BATCH = 64  # at most; a recipe is the batch's number times this, plus the clip's


class ClipSource:
    """Draws batches; the same (seed, number, progress, hard clips) gives the same batch. Picklable, so that a worker can
    hold it. ``hard_share`` of the clips are ones that went badly."""

    def __init__(
        self,
        library: Library,
        stages: Sequence[Stage],
        settings: ClipSettings,
        *,
        object_shares: Sequence[float] = (0.6, 0.3, 0.1),
        hard_share: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.library = library
        self.stages = sorted(stages, key=lambda stage: stage.start)
        self.settings = settings
        self.object_shares = np.asarray(object_shares) / np.sum(object_shares)
        self.hard_share = hard_share
        self.hard = HardClips(len(object_shares))
        self.seed = seed

    def batch(self, number: int, progress: float) -> ClipBatch:
        """Batch ``number`` of a run that has done ``progress`` (0..1) of its time."""
        rng = np.random.default_rng([self.seed, number])
        stage = stage_at(self.stages, progress)
        objects = 1 + int(rng.choice(len(self.object_shares), p=self.object_shares))
        count = max(2, round(stage.batch / (0.5 + 0.5 * objects)))
        recipes = [number * _CLIPS_A_BATCH + i for i in range(count)]
        hard = self.hard.recipes(objects)
        for i in range(count):
            if hard and rng.random() < self.hard_share:
                recipes[i] = hard.pop(int(rng.integers(len(hard))))
        clips = [self.clip(recipe, stage, objects) for recipe in recipes]
        frames = torch.from_numpy(np.stack([clip.frames for clip in clips])).permute(0, 1, 4, 2, 3).contiguous()
        return ClipBatch(frames, torch.from_numpy(np.stack([clip.instances for clip in clips])), objects, recipes)

    def clip(self, recipe: int, stage: Stage, objects: int) -> Clip:
        """The clip that ``recipe`` stands for."""
        rng = np.random.default_rng([self.seed, 1, recipe])
        library, settings, size, length = self.library, self.settings, stage.size, stage.length
        donors = [library.still(rng) for _ in range(3)]
        draw = rng.random()
        if draw < stage.video_share:
            frames = library.frames(rng, length, stage.max_skip)
            other = library.frames(rng, length, stage.max_skip)
            return video_clip(rng, frames, donors, size=size, objects=objects, settings=settings, elsewhere=other)
        if draw < stage.video_share + stage.crowd_share:
            cast_ = library.cast(rng, max(objects, int(rng.integers(2, 5))), settings)
            return crowd_clip(rng, cast_, donors, size=size, length=length, objects=objects, settings=settings)
        return still_clip(rng, library.still(rng), donors, size=size, length=length, objects=objects, settings=settings)


def draw_frames(rng: np.random.Generator, available: int, length: int, max_skip: int) -> NDArray[np.int64]:
    """Frame numbers int64 (length,), 1..``max_skip`` apart, forwards or backwards, within 0..``available`` - 1; to and fro
    where the sequence is too short.

    >>> draw_frames(np.random.default_rng(0), 3, 3, 9).tolist() in ([0, 1, 2], [2, 1, 0])
    True
    >>> draw_frames(np.random.default_rng(0), 2, 4, 9).tolist() in ([0, 1, 0, 1], [1, 0, 1, 0])
    True
    """
    if available < length:
        there_and_back = list(range(available)) + list(range(available - 2, 0, -1))
        numbers = np.array([there_and_back[i % len(there_and_back)] for i in range(length)], np.int64)
    else:
        longest = min(max_skip, (available - 1) // max(1, length - 1))
        numbers = np.concatenate([[0], np.cumsum(rng.integers(1, longest + 1, size=length - 1))])
        numbers += rng.integers(available - numbers[-1])
    return numbers[::-1] if rng.random() < 0.5 else numbers


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
