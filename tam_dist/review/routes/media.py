"""Frames and masks."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse

from tam_dist.review.frames import FrameServer
from tam_dist.review.pane import Pane

#: A frame of a video never changes: its address holds the video's fingerprint.
_FOREVER = "private, max-age=86400, immutable"


def media_routes(pane: Pane) -> APIRouter:
    router = APIRouter(prefix="/media")

    @router.get("/export/{identifier}")
    def export(identifier: str) -> FileResponse:
        path = pane.exports.file(identifier)
        return FileResponse(path, filename=path.name)

    @router.get("/{project}/{version}/{frame}.jpg")
    def frame_picture(project: str, version: str, frame: int) -> Response:  # noqa: ARG001 (for the browser's cache)
        frames, count = _frames(pane, project)
        if not 0 <= frame < count:
            raise KeyError(f"frame {frame}")
        return Response(frames.jpeg(frame), media_type="image/jpeg", headers={"Cache-Control": _FOREVER})

    @router.get("/{project}/mask/{frame}")
    def frame_mask(project: str, frame: int) -> Response:
        opened = pane.opener.get(project)
        if not 0 <= frame < opened.video.frame_count:
            raise KeyError(f"frame {frame}")
        opened.scores.refresh(wait=False)
        scores = zip(opened.scores.quality[frame].tolist(), opened.scores.origin[frame].tolist(), strict=True)
        told = {"X-Scores": ",".join(f"{quality}:{origin}" for quality, origin in scores)}
        return Response(opened.mask(frame), media_type="application/octet-stream", headers=told)

    @router.get("/{project}/thumb/{frame}")
    def thumbnail(project: str, frame: int) -> Response:
        opened = pane.opener.get(project)
        if not 0 <= frame < opened.video.frame_count:
            raise KeyError(f"frame {frame}")
        return Response(opened.thumbnail(frame), media_type="image/jpeg", headers={"Cache-Control": "private, max-age=5"})

    return router


def _frames(pane: Pane, project: str) -> tuple[FrameServer, int]:
    """Of a project or a draft, and how many there are."""
    if project.startswith("new-"):
        draft = pane.opener.draft(project)
        return draft.frames, draft.video.frame_count
    opened = pane.opener.get(project)
    return opened.frames, opened.video.frame_count
