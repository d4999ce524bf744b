"""New prompts that take the place of those given before for an object on a frame."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Sequence

from storage.prompt_log import LogEntry
from tam_dist.errors import PromptError
from tam_dist.types import Absent, Clicks, Mask, Prompt


def changed_by(clicks: Prompt) -> str:
    """The uuid under which the mask that ``clicks`` change is in the log."""
    return uuid.uuid5(uuid.NAMESPACE_OID, clicks.uuid).hex


def replaceable(log: Iterable[LogEntry], places: Collection[tuple[str, int]]) -> list[Prompt]:
    """Those of the prompts in force that new ones for ``places``, names of objects in the log and frames, may replace: clicks,
    boxes and masks, but not the mask that clicks were given to change, which the new ones then change instead. An absence or a
    lock is taken back by itself.
    """
    here = [e for e in log if isinstance(e, Prompt) and (e.object_name, e.frame) in places]
    bases = {changed_by(p) for p in here if isinstance(p.data, Clicks)}  # also of clicks that were replaced before
    in_force = (p for p in here if p.undone_by is None and p.purpose != "lock" and not isinstance(p.data, Absent))
    return [p for p in in_force if not (isinstance(p.data, Mask) and p.uuid in bases)]


def check_still_shown(given: Sequence[Prompt], old: Sequence[Prompt], new: Sequence[Prompt]) -> None:
    """An object may be tracked from there: raises :class:`PromptError` where ``old`` ones of those ``given`` show it, and
    neither the ``new`` ones nor what is left do.
    """
    left = [p for p in given if p not in old]
    shown = {(p.object_name, p.frame) for p in (*left, *new) if _shows(p)}
    for prompt in old:
        if _shows(prompt) and (prompt.object_name, prompt.frame) not in shown:
            raise PromptError(
                f"Nothing would show {prompt.object_name!r} on frame {prompt.frame} any more: click on it too, or draw it."
            )


def _shows(prompt: Prompt) -> bool:
    data = prompt.data
    return any(p.positive for p in data.points) if isinstance(data, Clicks) else not isinstance(data, Absent)
