"""What there is to see: projects, their state, timelines, prompts."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import BaseModel

from tam_dist.cuts import known_cuts
from tam_dist.errors import TamDistError
from tam_dist.review.history import HistoryView, history_view
from tam_dist.review.pane import Pane
from tam_dist.review.view import (
    MarkView,
    ProjectRow,
    ProjectView,
    TimelineView,
    broken_row,
    draft_view,
    mark_view,
    project_row,
    project_view,
    timeline_view,
)


class Me(BaseModel):
    author: str
    login: bool
    can_add: bool


def looking_routes(pane: Pane) -> APIRouter:
    router = APIRouter(prefix="/api")

    @router.get("/me")
    def me(request: Request) -> Me:
        return Me(author=request.scope["author"], login=pane.sessions.needs_login, can_add=pane.places.can_add)

    @router.get("/projects")
    def projects() -> list[ProjectRow]:
        rows = []
        for place in pane.places.projects():
            try:
                rows.append(project_row(pane.opener.get(place.id), pane.jobs))
            except TamDistError as error:
                rows.append(broken_row(place, str(error)))
        return rows

    @router.get("/p/{project}")
    def view(project: str, since: int = -1) -> ProjectView:
        if project.startswith("new-"):
            return draft_view(pane.opener.draft(project))
        return project_view(pane.opener.get(project), pane.jobs, since)

    @router.get("/p/{project}/timeline")
    def timeline(project: str, first: int, stop: int, columns: int) -> TimelineView:
        return timeline_view(pane.opener.get(project), first, stop, columns)

    @router.get("/p/{project}/marks")
    def marks(project: str) -> list[MarkView]:
        return [mark_view(prompt) for prompt in pane.opener.get(project).prompts()]

    @router.get("/p/{project}/cuts")
    def cuts(project: str) -> list[int]:
        """Frames that are known to begin a shot, as of now."""
        return list(known_cuts(pane.opener.get(project).store))

    @router.get("/p/{project}/history")
    def history(project: str) -> list[HistoryView]:
        return history_view(pane.opener.get(project))

    return router
