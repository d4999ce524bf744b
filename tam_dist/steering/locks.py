"""Locking frames that are good: their masks are kept whatever is tracked again, and are references for what is."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from storage.prompt_log import Undo
from tam_dist.errors import PromptError
from tam_dist.prompts import login, new_prompt
from tam_dist.steering.asking import Acknowledged, Asking, Where
from tam_dist.types import Absent, Mask


def lock(
    where: Where,
    frame: int,
    *,
    objects: Sequence[str] | None = None,
    seen: Mapping[int, int] | None = None,
    author: str | None = None,
) -> Acknowledged:
    """Keep the masks that ``frame`` has now, of ``objects`` (all, if None), the empty ones too.

    ``seen`` as in :func:`tam_dist.steering.correct`. Raises :class:`PromptError` for a frame that has no masks yet or is
    locked already, and for an unknown object; :class:`StaleViewError`, :class:`ProjectError`, :class:`StorageError`.
    """
    asking = Asking(where)
    asking.check_frame(frame)
    chosen = {asking.name_in_log(name) for name in objects or [o.name for o in asking.shown]}
    asking.check_seen(seen)
    store = asking.store
    record = store.record(frame // store.manifest.chunk_size)
    if record is None:
        raise PromptError(f"Frame {frame} is not tracked yet: there is nothing to lock.")
    labels = store.labels[frame]
    if store.record(record.chunk) != record:
        raise PromptError(f"Frame {frame} is being tracked again at this moment: look again, then lock it.")
    locked = asking.locked(frame)
    prompts = []
    for known in store.manifest.objects:
        if known.name in chosen and known.name not in locked:
            mask = np.asarray(labels == known.id)
            data = Mask.from_array(mask) if mask.any() else Absent(frame, frame)
            prompts.append(replace(new_prompt(frame, known.name, data, author=author), purpose="lock"))
    if not prompts:
        raise PromptError(f"Frame {frame} is locked already.")
    return asking.append(prompts, uuid.uuid4().hex)


def unlock(where: Where, frame: int, *, objects: Sequence[str] | None = None, author: str | None = None) -> Acknowledged:
    """Let ``frame`` be tracked like any other again, for ``objects`` (all, if None). Raises :class:`PromptError` where it is
    not locked.
    """
    asking = Asking(where)
    asking.check_frame(frame)
    locked = asking.locked(frame)
    chosen = [locked[name] for name in map(asking.name_in_log, objects) if name in locked] if objects else list(locked.values())
    if not chosen:
        raise PromptError(f"Frame {frame} is not locked{' for these objects' if objects else ''}.")
    now, who = time.time(), author or login()
    return asking.append([Undo(uuid.uuid4().hex, now, who, prompt.uuid) for prompt in chosen])
