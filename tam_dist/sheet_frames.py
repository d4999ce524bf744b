"""Which frames of a project are worth a look."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import numpy as np

from tam_dist.errors import ExportError
from tam_dist.media.contact_sheet import spread

if TYPE_CHECKING:
    from tam_dist.project import Project

KINDS = ("spread", "worst", "prompted", "cuts")


def chosen_frames(project: Project, kind: str, wanted: int) -> list[int]:
    """At most ``wanted`` frame numbers, ascending: "spread" evenly, the "worst" by the least quality of any object there, those
    "prompted", or the first ones after "cuts", for which the video is decoded where they are not known. Raises
    :class:`ExportError` where there is none of the kind.
    """
    match kind:
        case "spread":
            frames = spread(project.video.frame_count, wanted)
        case "worst":
            frames = worst_frames(project, wanted)
        case "prompted":
            asked = sorted({prompt.frame for prompt in project.prompts})
            frames = [asked[i] for i in spread(len(asked), wanted)] if asked else []
        case "cuts":
            cuts = _first_of_shots(project)
            frames = [cuts[i] for i in spread(len(cuts), wanted)]
        case _:
            near = difflib.get_close_matches(kind, KINDS, n=1)
            raise ExportError(
                f"A sheet cannot show {kind!r} frames; {f'did you mean {near[0]}?' if near else ', '.join(KINDS)}"
            )
    if not frames:
        raise ExportError(f"{project.location} has no {kind} frames to show: try --only spread.")
    return frames


def worst_frames(project: Project, wanted: int) -> list[int]:
    """Those with the least quality, a hundredth of the video apart at least: one bad passage must not fill the sheet."""
    quality = project.quality[:]
    tracked = ~np.isnan(quality)
    least = np.where(tracked.any(axis=1), np.min(np.where(tracked, quality, np.inf), axis=1), np.inf)
    apart = max(1, len(least) // 100)
    frames: list[int] = []
    for frame in np.argsort(least, kind="stable"):
        if not np.isfinite(least[frame]) or len(frames) == wanted:
            break
        if all(abs(int(frame) - f) >= apart for f in frames):
            frames.append(int(frame))
    return sorted(frames)


def _first_of_shots(project: Project) -> list[int]:
    from tam_dist.media.reader import open_video
    from tam_dist.media.shots import cuts_of_video

    if project.cuts_are_known:
        return [0, *project.cuts]
    with open_video(project.video.uri, on_damage=project.config.media.on_damage) as reader:
        return [0, *(cut.frame for cut in cuts_of_video(reader))]
