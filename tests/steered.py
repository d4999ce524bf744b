"""Tracking a video while somebody corrects it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import tam_dist
from storage.location import Location
from storage.project_store import ProjectStore
from tam_dist.coordination.events import ChunkTracked, Event
from tam_dist.monitoring.requests import ask_to_refresh
from tam_dist.types import Prompt


def correction(prompt: Prompt) -> Prompt:
    return replace(prompt, purpose="correction", time=time.time())


def steered(
    video: Path, prompts: Sequence[Prompt], corrections: Sequence[Prompt], out: Path, settings: Sequence[str], *, every: int
) -> tam_dist.Project:
    """Track ``video``, giving the next of ``corrections`` whenever ``every`` chunks have been tracked."""
    left, tracked = list(corrections), 0

    def listen(event: Event) -> None:
        nonlocal tracked
        if isinstance(event, ChunkTracked):
            tracked += 1
            if left and tracked % every == 0:
                ProjectStore.open(out, write=False).append_prompt(left.pop(0))
                ask_to_refresh(Location.parse(out), out.name)

    done = tam_dist.track(video, prompts, out=out, settings=settings, listener=listen)
    assert not left, "the video ended before all was corrected"
    return done
