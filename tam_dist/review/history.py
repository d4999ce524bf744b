"""The log of a project as the page shows it: who asked what and what came of it, newest first."""

from __future__ import annotations

from dataclasses import dataclass

from storage.prompt_log import Redo, Undo
from tam_dist.review.opened import Opened
from tam_dist.steering import history
from tam_dist.types import Prompt

#: Actions shown.
_MOST = 300


@dataclass(frozen=True)
class HistoryView:
    """An action. ``frame`` is where to look at it, None where it has no place; ``effect`` says what was tracked again for it,
    "" where nothing was.
    """

    what: str
    author: str
    time: float
    frame: int | None
    in_force: bool
    effect: str


def history_view(opened: Opened) -> list[HistoryView]:
    """Raises as :func:`tam_dist.steering.history`."""
    by_uuid = {entry.uuid: entry for entry in opened.entries()}
    found = []
    for action in history(opened.place.location)[-_MOST:][::-1]:
        first = by_uuid.get(action.entries[0])
        if isinstance(first, Undo | Redo):
            first = by_uuid.get(first.target)
        frame = first.frame if isinstance(first, Prompt) else getattr(first, "first", None)
        effect = f"{action.frames} frames tracked again" if action.frames else ""
        found.append(HistoryView(action.asked, action.author, action.time, frame, action.in_force, effect))
    return found
