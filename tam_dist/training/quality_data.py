"""Examples for the quality model: masks of a tracker that was led astray, what it could know of them, and how good they were.

Four kinds of video: DAVIS's training sequences, started from masks with typical errors, sped up, and with a few frames of
another film cut in; clips in which a pasted object leaves and comes back (:mod:`tam_dist.evaluation.disappearance`),
with objects from images that the segmentation model never learnt from, as its answers are judged as well; crowds of things
that look alike (:mod:`tam_dist.training.crowds`), several of them tracked; and real videos of several things, labelled on
frames far apart. Of one object alone the model learnt that a mask with another object beside it is poor or that nothing is
there, and emptied a quarter of all masks of crowds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from tam_dist.config import PropagationConfig, RefinementConfig
from tam_dist.evaluation.clicks import mask_iou
from tam_dist.evaluation.disappearance import Plot, Sprite, make_clip
from tam_dist.models.sam.segmenter import SupportsSegment
from tam_dist.tracking.alone import track_chunk
from tam_dist.tracking.assessment import Observation
from tam_dist.tracking.quality.model import Scores, weight_free
from tam_dist.tracking.refinement.acceptance import Answer
from tam_dist.tracking.resampling import resize_mask
from tam_dist.tracking.session import Models, TrackingSession
from tam_dist.tracking.spec import SessionSpec
from tam_dist.training.clips import ClipSettings
from tam_dist.training.crowds import crowd_clip
from tam_dist.training.films import draw_cast
from tam_dist.training.layers import IGNORE, Looks
from tam_dist.training.packed import PackedPictures
from tam_dist.types import BoolArray, FloatArray, FrameChunk, Mask, Prompt, TrackedObject, UInt8Array

#: Errors that first masks are given.
START_ERRORS = ("none", "dilate", "erode", "shift", "half", "blob")
_LONGEST = 60
_CROWD_FRAMES = 40
_FEWEST = 4
_COVERED = 0.5
_CHUNK = 16


@dataclass(frozen=True, eq=False)
class Video:
    """``frames`` uint8 (T, H, W, 3); ``truth`` (T, H, W), uint8 numbers of objects, 0 background, or bool of a single one;
    ``start`` (H, W), the same: the masks given on frame 0, of the objects that are tracked.
    """

    name: str
    frames: UInt8Array
    truth: UInt8Array | BoolArray
    start: UInt8Array | BoolArray

    @property
    def objects(self) -> list[int]:
        return [int(number) for number in np.unique(self.start) if number]


@dataclass(frozen=True, eq=False)
class MaskExample:
    """``signals`` float32 (S,); ``iou`` of the propagated mask; ``absent``: the object was not there."""

    video: str
    signals: FloatArray
    iou: float
    absent: bool


@dataclass(frozen=True, eq=False)
class AnswerExample:
    """``before``: IoU of the propagated mask, ``after``: of SAM's."""

    video: str
    answer: Answer
    before: float
    after: float


@dataclass(eq=False)
class Examples:
    masks: list[MaskExample] = field(default_factory=list)
    answers: list[AnswerExample] = field(default_factory=list)

    def to_json(self) -> str:
        masks = [{**vars(each), "signals": each.signals.tolist()} for each in self.masks]
        answers = [asdict(each) for each in self.answers]
        return json.dumps({"masks": masks, "answers": answers})

    @classmethod
    def from_json(cls, text: str) -> Examples:
        """The same, to the bit, as was written by :meth:`to_json`."""
        stored = json.loads(text)
        masks = [MaskExample(**each | {"signals": np.array(each["signals"], np.float32)}) for each in stored["masks"]]
        answers = [AnswerExample(**each | {"answer": Answer(**each["answer"])}) for each in stored["answers"]]
        return cls(masks, answers)


def observe(
    video: Video, models: Models, propagation: PropagationConfig, segmenter: SupportsSegment | None, *, ask_every: int = 6
) -> Examples:
    """Track a video without refining it, asking SAM all the same every few frames."""
    examples = Examples()
    seen: list[FloatArray] = []

    def scorer(signals: FloatArray) -> Scores:
        seen.append(signals.copy())
        return weight_free(signals)

    def watch(seen: Observation) -> None:
        for decision in seen.decisions:
            truth = video.truth[seen.number] == decision.object_id
            before = mask_iou(decision.evidence.mask, resize_mask(truth, decision.evidence.mask.shape).numpy() > _COVERED)
            after = mask_iou(decision.answer.mask, truth)
            if truth.any():
                examples.answers.append(AnswerExample(video.name, decision.measured, before, after))

    # Every mask counts as poor, and no answer is ever good enough.
    mode = "off" if segmenter is None else "on"
    asking = RefinementConfig(mode, "model", False, 1.1, 1.1, ask_every, False, 1.0, 2.0, 0.0, 0.0)
    session = TrackingSession(spec_of(video, propagation, asking), replace(models, scorer=scorer), watch=watch)
    labels = track_video(session, video, segmenter)
    for number, rows in enumerate(seen, start=1):
        for k, signals in zip(video.objects, rows, strict=True):
            truth = video.truth[number] == k
            examples.masks.append(MaskExample(video.name, signals, mask_iou(labels[number] == k, truth), not truth.any()))
    return examples


def spec_of(video: Video, propagation: PropagationConfig, refinement: RefinementConfig) -> SessionSpec:
    """To track all objects of ``video`` from its start."""
    height, width = video.truth.shape[1:]
    objects = tuple(TrackedObject(k, str(k), (255, 0, 0)) for k in video.objects)
    starts = (Prompt(f"start{k}", 0.0, "training", 0, str(k), Mask.from_array(video.start == k)) for k in video.objects)
    return SessionSpec(width, height, len(video.frames), _CHUNK, objects, tuple(starts), propagation, refinement)


def track_video(session: TrackingSession, video: Video, segmenter: SupportsSegment | None) -> np.ndarray:
    """All label maps (T, H, W) of a session that was not begun; SAM is asked where the session asks."""
    return np.concatenate([track_chunk(session, chunk, segmenter).labels for chunk in _chunks(video)])


def _chunks(video: Video) -> Iterator[FrameChunk]:
    for index in range(-(-len(video.frames) // _CHUNK)):
        yield FrameChunk(index, index * _CHUNK, video.frames[index * _CHUNK : (index + 1) * _CHUNK])


# --- videos ------------------------------------------------------------------------------------------------------------


def real_videos(root: Path, names: Sequence[str], seed: int) -> Iterator[Video]:
    """Each sequence of a folder in DAVIS's layout once, with some start error, speed, and sometimes another film cut in."""
    rng = np.random.default_rng(seed)
    for k, name in enumerate(names):
        frames, truth = read_sequence(root, name)
        first = int(rng.integers(0, max(1, len(frames) // 3)))
        chosen = list(range(first, len(frames), 1 + int(rng.integers(0, 3))))[:_LONGEST]
        shown, right = [frames[i] for i in chosen], [truth[i] for i in chosen]
        if not right[0].any():
            continue
        start = misdrawn(right[0], str(rng.choice(START_ERRORS)), rng)
        if rng.random() < 0.35:
            other, _ = read_sequence(root, names[(k + 7) % len(names)])
            length, at = int(rng.integers(4, 14)), len(shown) // 2
            strange = [np.asarray(cv2.resize(f, shown[0].shape[1::-1]), np.uint8) for f in other[:length]]
            shown[at:at] = strange
            right[at:at] = [np.zeros_like(right[0])] * len(strange)
        yield Video(name, np.stack(shown), np.stack(right), start)


def pasted_videos(root: Path, names: Sequence[str], sprites: Sequence[Sprite], seed: int) -> Iterator[Video]:
    """A clip for each sprite over some sequence of ``names``; every other one has a look-alike."""
    rng = np.random.default_rng(seed)
    for k, sprite in enumerate(sprites):
        name = str(rng.choice(list(names)))
        plot = Plot(absence=int(rng.choice([5, 12, 25])), twin=k % 2 == 1)
        clip = make_clip(read_sequence(root, name)[0], sprite, plot, int(rng.integers(1 << 30)))
        yield Video(f"{name}+{k}", clip.frames, clip.object, clip.object[0])


def crowd_videos(
    packed: Sequence[PackedPictures], backdrops: PackedPictures, count: int, seed: int, *, held_out: bool = False
) -> Iterator[Video]:
    """``count`` clips of two to four things of a kind from ``packed``, some or all of them tracked, one clip in four from a
    mask with some error. Only the first of every two pictures is used; of the others are those that are ``held_out``, to choose
    settings with.
    """
    settings = replace(ClipSettings(), motion=0.035, gone=0.1, jolt=0.05, elsewhere=0.1, looks=Looks(warp=0.012, grey=0.0))
    rng = np.random.default_rng([seed, 3])
    for k in range(count):
        source = packed[k % len(packed)]
        cast = draw_cast(rng, source, int(rng.integers(2, 5)), range(int(held_out), len(source), 2))
        tracked = int(rng.integers(1, len(cast) + 1))
        grounds = [backdrops[int(i)] for i in rng.choice(len(backdrops), 2, replace=False)]
        clip = crowd_clip(rng, cast, grounds, size=256, length=_CROWD_FRAMES, objects=tracked, settings=settings)
        truth = np.where(clip.instances <= tracked, clip.instances, 0).astype(np.uint8)
        start = truth[0].copy()
        if rng.random() < 0.25:
            wrong = misdrawn(start == 1, str(rng.choice(START_ERRORS)), rng)
            start[start == 1] = 0
            start[wrong & (start == 0)] = 1
        yield Video(f"crowd{seed}+{k}", clip.frames, truth, start)


def labelled_videos(packed: PackedPictures) -> Iterator[Video]:
    """The labelled frames alone of each sequence of at least :data:`_FEWEST`, all objects of its first one tracked."""
    for name, (first, count) in zip(packed.names, packed.groups, strict=True):
        pictures = [packed[i] for i in range(first, first + count)]
        known = [k for k in np.unique(pictures[0].labels) if k not in (0, IGNORE)]
        if count < _FEWEST or not known:
            continue
        number = np.zeros(256, np.uint8)
        number[known] = np.arange(1, len(known) + 1)
        truth = np.stack([number[picture.labels] for picture in pictures])
        yield Video(f"sparse-{name}", np.stack([picture.image for picture in pictures]), truth, truth[0])


def misdrawn(mask: BoolArray, error: str, rng: np.random.Generator) -> BoolArray:
    """The mask with one of :data:`START_ERRORS`; never empty."""
    size = int(max(1, np.sqrt(mask.sum()) * 0.12))
    small, square = mask.astype(np.uint8), np.ones((3, 3), np.uint8)
    wrong = mask
    if error == "dilate":
        wrong = np.asarray(cv2.dilate(small, square, iterations=size)) > 0
    elif error == "erode":
        wrong = np.asarray(cv2.erode(small, square, iterations=size)) > 0
    elif error == "shift":
        wrong = np.roll(mask, tuple(rng.integers(-size, size + 1, 2)), (0, 1))
    elif error == "half":
        rows, columns = np.nonzero(mask)
        wrong = mask.copy()
        if rng.random() < 0.5:
            wrong[: int(np.median(rows))] = False
        else:
            wrong[:, : int(np.median(columns))] = False
    elif error == "blob":
        spot = np.zeros(mask.shape, np.uint8)
        centre = (int(rng.integers(0, mask.shape[1])), int(rng.integers(0, mask.shape[0])))
        cv2.circle(spot, centre, 3 + int(np.sqrt(mask.sum()) / 2), 1, -1)
        wrong = mask | (spot > 0)
    return wrong if wrong.any() else mask


def read_sequence(root: Path, name: str) -> tuple[list[UInt8Array], list[BoolArray]]:
    """Frames (H, W, 3) and masks (H, W) of what is labelled, from ``JPEGImages/NAME`` and ``Annotations/NAME``."""
    frames = [np.asarray(Image.open(f).convert("RGB")) for f in sorted((root / "JPEGImages" / name).glob("*.jpg"))]
    masks = [np.asarray(Image.open(f)) > 0 for f in sorted((root / "Annotations" / name).glob("*.png"))]
    return frames, masks
