"""Why a frame's mask is what it is: the tracker is led to the frame once more, and what it knew there is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from storage.project_store import ProjectStore
from tam_dist.config import from_dict
from tam_dist.due import due_work, start_before
from tam_dist.errors import PromptError
from tam_dist.inspection.saving import save_figure
from tam_dist.media.chunks import ChunkReader
from tam_dist.media.drawing import tint
from tam_dist.media.reader import open_video
from tam_dist.models.sam.opening import open_segmenter
from tam_dist.models.sam.rounds import segment_in_rounds
from tam_dist.models.sam.segmenter import SupportsSegment
from tam_dist.preparation import job_of
from tam_dist.tracking.alone import track_chunk
from tam_dist.tracking.asked import Asked
from tam_dist.tracking.assessment import Decision, Observation
from tam_dist.tracking.opening import open_models
from tam_dist.tracking.references import references_in
from tam_dist.tracking.refinement.acceptance import Verdict
from tam_dist.tracking.session import TrackingSession
from tam_dist.tracking.spec import ReferenceFrames
from tam_dist.types import BoolArray, ObjectQuery, Reference, SegmentedMask, TrackedObject, UInt8Array

_GROUND, _INK, _DIM = "#131418", "#eceef2", "#8b909c"
_GOOD, _BAD = "#4cc38a", "#ff6369"
#: Inches of the picture, and of a row's captions; the gap between pictures as a share of its width.
_WIDTH, _CAPTIONS, _GAP = 16.0, 0.85, 0.01
#: Objects to one picture, the worst first.
MAX_OBJECTS = 6


@dataclass(frozen=True, eq=False)
class Explanation:
    """``image`` uint8 (H, W, 3); ``asked``: whether the tracker itself asked SAM about the frame, or only this picture did."""

    number: int
    image: UInt8Array
    decisions: Sequence[Decision]
    asked: bool


def explain_frame(where: str, number: int) -> Explanation:
    """Track from the newest checkpoint before frame ``number`` of the project to it.

    Raises :class:`PromptError` where there is no such frame or nothing is tracked there yet.
    """
    store = ProjectStore.open(where, write=False)
    config = from_dict(dict(store.manifest.config))
    job, wanted = job_of(store), due_work(store).asked
    target = number // wanted.chunk_size
    spec = wanted.spec_at(min(max(target, 0), wanted.chunk_count - 1))
    if not 0 <= number < spec.frame_count:
        raise PromptError(f"There is no frame {number}: {where} has frames 0 to {spec.frame_count - 1}.")
    models = open_models(config)
    segmenter = open_segmenter(config)
    seen: list[Observation] = []

    def watch(each: Observation) -> None:
        if each.number == number:
            seen.append(each)

    start = start_before(store, wanted, target)
    lessons = start.lessons or {}
    with open_video(job.uri, reader=job.reader, on_damage=job.on_damage) as video:
        reader = ChunkReader(video, spec.chunk_size)
        references = _read_references(start.references, wanted, reader, segmenter)
        session = TrackingSession.begin(start.session, models, references, watch=watch)
        for index in range(start.next_chunk, target + 1):
            if index in lessons:
                session.learn(_read_references(lessons[index], wanted, reader, segmenter))
            chunk = reader.read(index, find_cuts=spec.looks_for_cuts)
            track_chunk(session, chunk, segmenter)
        image = chunk.frames[number - chunk.start]
    if not seen:
        raise PromptError(f"Nothing is predicted in frame {number}: no object was there before it.")
    decisions, asked = seen[-1].decisions, bool(seen[-1].decisions)
    if not asked:
        decisions = _hypothetical(seen[-1], image, segmenter)
    return Explanation(number, image, sorted(decisions, key=lambda d: d.quality)[:MAX_OBJECTS], asked)


def _read_references(
    frames: Sequence[ReferenceFrames], asked: Asked, reader: ChunkReader, segmenter: SupportsSegment
) -> list[Reference]:
    """The masks that the tracker was given of frames elsewhere in the video."""

    def ask(image: UInt8Array, number: int, query: ObjectQuery) -> SegmentedMask:
        return segment_in_rounds(segmenter, image, query, number)

    chunks = ((reader.read(each.chunk, find_cuts=False), each.prompts) for each in frames)
    return [found for chunk, prompts in chunks for found in references_in(asked, chunk, prompts, ask)]


def _hypothetical(seen: Observation, image: UInt8Array, segmenter: SupportsSegment) -> Sequence[Decision]:
    """What SAM would have said."""
    present = tuple(i for i in seen.assessment.prediction.object_ids if i in seen.assessment.quality)
    with torch.inference_mode():
        question = seen.assessor.question(seen.number, seen.frame, replace(seen.assessment, due=present))
        return seen.assessor.weigh(question, segmenter.segment(image, question.request.queries, frame_key=seen.number))


# --- drawing -------------------------------------------------------------------------------------------------------------


def write_explanation(found: Explanation, objects: Sequence[TrackedObject], path: Path) -> Path:
    """A row an object: XMem's mask, memory's evidence with the points, SAM's mask, and the decision in words."""
    rows = max(1, len(found.decisions))
    aspect = found.image.shape[0] / found.image.shape[1]
    picture = _WIDTH * (1 - 4 * _GAP) / 3 * aspect
    height = rows * (picture + _CAPTIONS)
    figure = Figure(figsize=(_WIDTH, height), facecolor=_GROUND)
    space = {"left": _GAP, "right": 1 - _GAP, "top": 1 - 0.45 / height, "bottom": 0.4 / height}
    axes = figure.subplots(rows, 3, squeeze=False, gridspec_kw={**space, "wspace": 3 * _GAP, "hspace": _CAPTIONS / picture})
    names = {o.id: o for o in objects}
    for row, decision in zip(axes, found.decisions, strict=False):
        _draw_row(row, found, decision, names[decision.object_id])
    return save_figure(figure, path)


def _draw_row(row: Sequence[Axes], found: Explanation, decision: Decision, tracked: TrackedObject) -> None:
    image, known = found.image, decision.evidence
    shape = image.shape[:2]
    own = _resized(known.mask.astype(np.float32), shape) > 0.5
    row[0].imshow(_tinted(image, own, tracked))
    row[1].imshow(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB) // 2)
    heat = _resized(known.foreground, shape)
    row[1].imshow(heat, cmap="inferno", vmin=0, vmax=1, alpha=0.35 + 0.5 * heat)
    row[2].imshow(_tinted(image, decision.answer.mask, tracked))
    scale = np.array([shape[1] / own.shape[1], shape[0] / own.shape[0]]) * [
        own.shape[1] / known.probability.shape[1],
        own.shape[0] / known.probability.shape[0],
    ]
    for ax in row[1:]:
        for (x, y), positive in zip((known.points.xy + 0.5) * scale - 0.5, known.points.positive, strict=True):
            colour, mark = (_GOOD, "P") if positive else (_BAD, "X")
            ax.plot(x, y, mark, color=colour, markersize=11, markeredgecolor="black")
    accepted = decision.verdict is Verdict.ACCEPTED
    titles = (
        f"frame {found.number}, {tracked.name}: XMem's mask, score {decision.quality:.2f}",
        "where memory matches the object, and points for SAM",
        f"SAM's mask, expected {decision.measured.expected_iou:.2f} (its own score {decision.measured.score:.2f})",
    )
    for ax, title in zip(row, titles, strict=True):
        ax.set_title(title, color=_INK, fontsize=11, loc="left")
        ax.axis("off")
    verdict = "takes its place" if accepted else f"not taken: {decision.verdict}"
    spoken = verdict if found.asked else f"the tracker did not ask; if it had: {verdict}"
    row[0].text(0, -0.03, spoken, transform=row[0].transAxes, color=_GOOD if accepted else _DIM, fontsize=11, va="top")


def _resized(plane: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(cv2.resize(plane, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR))


def _tinted(image: UInt8Array, mask: BoolArray, tracked: TrackedObject) -> UInt8Array:
    colours = np.array([(0, 0, 0), tracked.colour], np.uint8)
    return tint(image, mask.astype(np.uint8), colours, 0.55)
