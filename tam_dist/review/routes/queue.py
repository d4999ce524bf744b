"""The frames that need a person, over all projects, and who is at which."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from tam_dist.errors import TamDistError
from tam_dist.review.corrections import Frame, Name
from tam_dist.review.opened import Opened
from tam_dist.review.pane import Pane
from tam_dist.review.queueing import Spot
from tam_dist.review.suggestions import Suggested
from tam_dist.steering.suggestions import spacing
from tam_dist.steering.trouble import Trouble

Page = Annotated[str, Field(min_length=1, max_length=64)]
#: Suggestions shown at once.
_MOST_SHOWN = 60


class SpotView(BaseModel):
    """``gain`` as in :class:`tam_dist.steering.suggestions.Spot`; ``reason`` says what looks
    wrong, ``trouble`` in a word.
    """

    project: str
    name: str
    frame: int
    object: str
    quality: float
    gain: float
    trouble: Trouble
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
        found: list[tuple[Opened, Suggested]] = []
        counts: list[int] = []
        for place in places:
            try:
                opened = pane.opener.get(place.id)
            except TamDistError:
                continue  # the project list says what is the matter with it
            opened.scores.refresh(wait=False)
            offered = {Spot(place.id, each.spot.frame, each.object): each for each in opened.suggestions.now()}
            counts.append(len(offered))
            free = pane.claims.free(page, offered, apart=spacing(opened.video.frame_count))
            found += [(opened, offered[spot]) for spot in free]
        if not project:
            pane.metrics.offered(counts)
        found.sort(key=lambda each: -each[1].spot.gain)
        return QueueView(left=len(found), spots=[_view(*each) for each in found[:_MOST_SHOWN]])

    @router.post("/claim")
    def claim(body: SpotRequest) -> JSONResponse:
        frames = pane.opener.get(body.project).video.frame_count
        if pane.claims.claim(body.page, body.spot, apart=spacing(frames)):
            return JSONResponse({"claimed": True})
        return JSONResponse({"error": "Somebody else is looking at that frame."}, 423)

    @router.post("/pass")
    def pass_over(body: SpotRequest) -> dict[str, bool]:
        pane.claims.pass_over(body.page, body.spot)
        pane.metrics.passed()
        return {"passed": True}

    @router.post("/release")
    def release(body: PageRequest) -> dict[str, bool]:
        pane.claims.release(body.page)
        return {"released": True}

    return router


def _view(opened: Opened, each: Suggested) -> SpotView:
    trouble, reason = opened.suggestions.reason(each.spot)
    return SpotView(
        project=opened.place.id,
        name=opened.place.name,
        frame=each.spot.frame,
        object=each.object,
        quality=each.spot.quality,
        gain=each.spot.gain,
        trouble=trouble,
        reason=reason,
    )
