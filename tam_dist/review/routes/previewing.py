"""SAM's masks of clicks that were not sent yet. Nothing is changed here."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from tam_dist.config import load_config
from tam_dist.models.sam.rounds import certain_logits
from tam_dist.review import runs
from tam_dist.review.corrections import Correction, Frame, Mark, prompts_of
from tam_dist.review.opened import Opened
from tam_dist.review.pane import Pane
from tam_dist.steering.asking import stored_mask
from tam_dist.steering.replacing import replaceable
from tam_dist.tracking.plan import PromptPlan
from tam_dist.types import Absent, FloatArray, ObjectQuery, Prompt, TrackedObject, VideoInfo


class PreviewRequest(BaseModel):
    """``object`` by its name in the log. ``hover``: the pointer is still moving. ``replace``: as in :class:`Correction`."""

    frame: Frame
    object: Annotated[str, Field(max_length=100)] = ""
    points: Annotated[list[tuple[float, float, int]], Field(max_length=100)] = []
    box: tuple[float, float, float, float] | None = None
    hover: bool = False
    replace: bool = False


def preview_routes(pane: Pane) -> APIRouter:
    router = APIRouter(prefix="/api/p/{project}")

    @router.post("/preview")
    def preview(project: str, body: PreviewRequest) -> Response:
        """The mask as run lengths, its label 1; the headers tell SAM's own score of it, and the milliseconds it took."""
        started = time.perf_counter()
        key = (project, body.frame)
        if project.startswith("new-"):
            draft = pane.opener.draft(project)
            query = _query(_prompts(body, draft.video), [], None)
            answer = pane.previews.preview(
                load_config(), key, lambda: draft.frames.picture(body.frame), query, quick=body.hover
            )
        else:
            opened = pane.opener.get(project)
            new = _prompts(body, opened.video)
            query = _query(new, *_before(opened, body))
            picture = lambda: opened.frames.picture(body.frame)  # noqa: E731
            answer = pane.previews.preview(opened.config, key, picture, query, quick=body.hover)
        headers = {"X-Score": f"{answer.score:.3f}", "X-Milliseconds": f"{(time.perf_counter() - started) * 1000:.0f}"}
        return Response(runs.encode(answer.mask.astype(np.uint8), 0), media_type="application/octet-stream", headers=headers)

    return router


def _prompts(body: PreviewRequest, video: VideoInfo) -> list[Prompt]:
    mark = Mark(object=body.object or "object", points=body.points, box=body.box)
    return prompts_of(mark, Correction(id=uuid.uuid4(), frame=body.frame, revision=0, marks=[mark]), "", video)


def _query(new: Sequence[Prompt], given: Sequence[Prompt], stored: FloatArray | None) -> ObjectQuery:
    """What the tracking will ask of SAM: with what was ``given`` there before, or else from the mask that is ``stored``."""
    plan = PromptPlan([TrackedObject(1, new[0].object_name, (0, 0, 0))], [*given, *new])
    (asked,) = plan.at(new[0].frame)
    return asked.query(None if given else stored)


def _before(opened: Opened, body: PreviewRequest) -> tuple[list[Prompt], FloatArray | None]:
    """What was given for the object in the frame and counts on, and the mask it has there where that is not replaced."""
    place = (body.object, body.frame)
    old = replaceable(opened.entries(), {place}) if body.replace else []
    here = [
        p for p in opened.prompts() if (p.object_name, p.frame) == place and not isinstance(p.data, Absent) and p not in old
    ]
    return here, None if body.replace else _stored(opened, body)


def _stored(opened: Opened, body: PreviewRequest) -> FloatArray | None:
    """The object's stored mask as logits, None where there is none."""
    mask = stored_mask(opened.store, opened.manifest.objects, body.object, body.frame)
    return None if mask is None else certain_logits(mask)
