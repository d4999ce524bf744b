"""The frames that need a person, over all projects, and who is at which."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from tam_dist.errors import TamDistError
from tam_dist.review.corrections import Frame, Name
from tam_dist.review.pane import Pane
from tam_dist.review.queueing import Spot
from tam_dist.review.suggestions import MOST_SHOWN, Suggestion, suggestions
from tam_dist.steering.suggestions import spacing

Page = Annotated[str, Field(min_length=1, max_length=64)]


class SpotView(BaseModel):
    project: str
    name: str
    frame: int
    object: str
    quality: float
    reason: str


class QueueView(BaseModel):
    """``left``: how many there are for this page, of which ``spots`` are the first."""

    left: int
    spots: list[SpotView]


class PageRequest(BaseModel):
    page: Page


class SpotRequest(BaseModel):
    page: Page
    project: str
    frame: Frame
    object: Name

    @property
    def spot(self) -> Spot:
        return Spot(self.project, self.frame, self.object)


def queue_routes(pane: Pane) -> APIRouter:
    router = APIRouter(prefix="/api/queue")

    @router.get("")
    def queue(page: str, project: str | None = None) -> QueueView:
        """Of one project or of all; those of other people are left out."""
        pane.claims.keep(page)
        places = [pane.places.project(project)] if project else list(pane.places.projects())
        found: list[SpotView] = []
        for place in places:
            try:
                opened = pane.opener.get(place.id)
            except TamDistError:
                continue  # the project list says what is the matter with it
            opened.scores.refresh(wait=False)
            offered = {each.spot: each for each in suggestions(opened)}
            free = pane.claims.free(page, offered, apart=spacing(opened.video.frame_count))
            found += [_view(offered[spot], place.name) for spot in free]
        found.sort(key=lambda each: each.quality)
        return QueueView(left=len(found), spots=found[:MOST_SHOWN])

    @router.post("/claim")
    def claim(body: SpotRequest) -> JSONResponse:
        frames = pane.opener.get(body.project).video.frame_count
        if pane.claims.claim(body.page, body.spot, apart=spacing(frames)):
            return JSONResponse({"claimed": True})
        return JSONResponse({"error": "Somebody else is looking at that frame."}, 423)

    @router.post("/pass")
    def pass_over(body: SpotRequest) -> dict[str, bool]:
        pane.claims.pass_over(body.page, body.spot)
        return {"passed": True}

    @router.post("/release")
    def release(body: PageRequest) -> dict[str, bool]:
        pane.claims.release(body.page)
        return {"released": True}

    return router


def _view(each: Suggestion, name: str) -> SpotView:
    spot = each.spot
    return SpotView(
        project=spot.project, name=name, frame=spot.frame, object=spot.object, quality=each.quality, reason=each.reason
    )
