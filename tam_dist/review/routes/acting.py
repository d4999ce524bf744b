"""What people do: each call is in the project's log before it is answered."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from tam_dist import steering
from tam_dist.config import load_config
from tam_dist.monitoring.cancelling import cancel
from tam_dist.preparation import prepare, settle
from tam_dist.review.corrections import Correction, Frame, Name, prompts_of
from tam_dist.review.opened import Draft
from tam_dist.review.pane import Pane
from tam_dist.review.places import place_of
from tam_dist.steering import Acknowledged


class Answer(BaseModel):
    """``live``: a run under way was told; otherwise the pane tracks it itself. ``project``: where it can be seen."""

    project: str
    live: bool
    entries: list[str] = []


class LockRequest(BaseModel):
    """``revision`` of the masks that the person looked at; ``objects`` None for all."""

    frame: Frame
    revision: Annotated[int, Field(ge=0)] = 0
    objects: Annotated[list[Name], Field(max_length=300)] | None = None


class RemoveRequest(BaseModel):
    """From frames ``first`` to ``last``, both included; both None: from the whole video."""

    object: Name
    first: Frame | None = None
    last: Frame | None = None


class RenameRequest(BaseModel):
    object: Name
    name: Name


class RangeRequest(BaseModel):
    first: Frame
    last: Frame


def acting_routes(pane: Pane) -> APIRouter:
    router = APIRouter(prefix="/api/p/{project}")

    def acknowledged(project: str, *answers: Acknowledged) -> Answer:
        location = pane.places.project(project).location
        live = all(answer.live for answer in answers)
        pane.jobs.want(location)  # also behind a run that was told: it may end before it has looked
        return Answer(project=project, live=live, entries=[entry for answer in answers for entry in answer.entries])

    def where(project: str) -> str:
        return pane.places.project(project).location

    @router.post("/correct")
    def correct(project: str, body: Correction, request: Request) -> Answer:
        author = request.scope["author"]
        if project.startswith("new-"):
            return begin(pane.opener.draft(project), body, author)
        opened = pane.opener.get(project)
        prompts = {mark.object: prompts_of(mark, body, author, opened.video) for mark in body.marks}
        answers = [steering.add_object(where(project), m.object, prompts[m.object]) for m in body.marks if m.new]
        known = [prompt for m in body.marks if not m.new for prompt in prompts[m.object]]
        if known:
            answers.append(
                steering.correct(where(project), known, replace_given=body.replace, seen={body.frame: body.revision})
            )
        return acknowledged(project, *answers)

    def begin(draft: Draft, body: Correction, author: str) -> Answer:
        """The first clicks in a new video make its project and start its tracking."""
        prompts = [prompt for mark in body.marks for prompt in prompts_of(mark, body, author, draft.video)]
        location = pane.places.new_project(draft.name)
        prepare(str(draft.path), prompts, location, settle(load_config()))
        pane.opener.finish_draft(draft.id)
        pane.jobs.want(location)
        return Answer(project=place_of(location).id, live=False, entries=[prompt.uuid for prompt in prompts])

    @router.post("/undo")
    def undo(project: str, request: Request) -> Answer:
        return acknowledged(project, steering.undo(where(project), author=request.scope["author"]))

    @router.post("/redo")
    def redo(project: str, request: Request) -> Answer:
        return acknowledged(project, steering.redo(where(project), author=request.scope["author"]))

    @router.post("/lock")
    def lock(project: str, body: LockRequest, request: Request) -> Answer:
        seen = {body.frame: body.revision}
        author = request.scope["author"]
        return acknowledged(project, steering.lock(where(project), body.frame, objects=body.objects, seen=seen, author=author))

    @router.post("/unlock")
    def unlock(project: str, body: LockRequest, request: Request) -> Answer:
        author = request.scope["author"]
        return acknowledged(project, steering.unlock(where(project), body.frame, objects=body.objects, author=author))

    @router.post("/remove")
    def remove(project: str, body: RemoveRequest, request: Request) -> Answer:
        frames = None if body.first is None or body.last is None else (body.first, body.last)
        author = request.scope["author"]
        return acknowledged(project, steering.remove_object(where(project), body.object, frames, author=author))

    @router.post("/rename")
    def rename(project: str, body: RenameRequest, request: Request) -> Answer:
        author = request.scope["author"]
        return acknowledged(project, steering.rename_object(where(project), body.object, body.name, author=author))

    @router.post("/retrack")
    def retrack(project: str, body: RangeRequest, request: Request) -> Answer:
        author = request.scope["author"]
        return acknowledged(project, steering.retrack(where(project), body.first, body.last, author=author))

    @router.post("/pause")
    def pause(project: str) -> Answer:
        """What is committed stays; going on is :func:`resume`."""
        pane.jobs.forget(where(project))
        cancel(where(project))
        return Answer(project=project, live=False)

    @router.post("/resume")
    def resume(project: str) -> Answer:
        pane.jobs.want(where(project))
        return Answer(project=project, live=False)

    return router
