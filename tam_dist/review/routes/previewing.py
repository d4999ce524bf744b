"""SAM's masks of clicks that were not sent yet. Nothing is changed here."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from tam_dist.config import load_config
from tam_dist.review import runs
from tam_dist.review.corrections import Frame
from tam_dist.review.opened import Opened
from tam_dist.review.pane import Pane
from tam_dist.review.preview import Asked
from tam_dist.types import Click, Clicks


class PreviewRequest(BaseModel):
    """As :class:`tam_dist.review.corrections.Mark`; ``hover``: the pointer is still moving."""

    frame: Frame
    object: Annotated[str, Field(max_length=100)] = ""
    points: Annotated[list[tuple[float, float, int]], Field(max_length=100)] = []
    box: tuple[float, float, float, float] | None = None
    hover: bool = False


def preview_routes(pane: Pane) -> APIRouter:
    router = APIRouter(prefix="/api/p/{project}")

    @router.post("/preview")
    def preview(project: str, body: PreviewRequest) -> Response:
        """The mask as run lengths, its label 1; the headers tell SAM's own score of it, and the milliseconds it took."""
        started = time.perf_counter()
        asked = Asked(tuple(Click(x, y, bool(p)) for x, y, p in body.points), body.box, None, body.hover)
        if project.startswith("new-"):
            draft = pane.opener.draft(project)
            answer = pane.previews.preview(
                load_config(), (project, body.frame), lambda: draft.frames.picture(body.frame), asked
            )
        else:
            opened = pane.opener.get(project)
            picture = lambda: opened.frames.picture(body.frame)  # noqa: E731
            answer = pane.previews.preview(opened.config, (project, body.frame), picture, _with_before(opened, body, asked))
        headers = {"X-Score": f"{answer.score:.3f}", "X-Milliseconds": f"{(time.perf_counter() - started) * 1000:.0f}"}
        return Response(runs.encode(answer.mask.astype(np.uint8), 0), media_type="application/octet-stream", headers=headers)

    return router


def _with_before(opened: Opened, body: PreviewRequest, asked: Asked) -> Asked:
    """With what the tracking will know as well when it meets these clicks: those that are there already, or else its mask."""
    here = [p for p in opened.prompts() if p.object_name == body.object and p.frame == body.frame]
    clicks = tuple(click for p in here if isinstance(p.data, Clicks) for click in p.data.points)
    if clicks:
        return replace(asked, clicks=(*clicks, *asked.clicks))
    known = next((o for o in opened.manifest.objects if o.name == body.object), None)
    mask = None if known is None or asked.box is not None else opened.store.labels[body.frame] == known.id
    return replace(asked, mask=mask) if mask is not None and mask.any() else asked
