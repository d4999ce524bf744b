"""Whatever people ask for while a video is tracked, and whatever dies meanwhile, log and record alone decide the masks."""

from __future__ import annotations

import random
import shutil
import tempfile
import time
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tam_dist
from storage.project_store import ProjectStore
from storage.prompt_log import Redo, Retrack, Undo
from tam_dist.coordination.calls import Call, CloseProject, Role, WorkerId
from tam_dist.coordination.scheduler import Scheduler
from tam_dist.coordination.video import VideoState
from tam_dist.due import due_work
from tam_dist.preparation import job_of
from tam_dist.types import Absent, Mask, Prompt
from tests.tam_dist.coordination.corrected import CHUNK, SIZE, config, content, copied, create, worker
from tests.tam_dist.coordination.simulated import SimulatedExecutor, World

CHUNKS = 9
FRAMES = CHUNKS * CHUNK
KINDS = ("correct", "correct", "correct", "absent", "lock", "undo", "redo", "retrack", "new")


def mask(rng: random.Random) -> np.ndarray:
    found = np.zeros((SIZE, SIZE), bool)
    found[rng.randrange(SIZE - 2) :, rng.randrange(SIZE - 2) :] = True
    return found


class Person:
    """Asks for something at random."""

    def __init__(self, where: str, rng: random.Random) -> None:
        self.store, self.rng = ProjectStore.open(where, write=False), rng
        self.locked: dict[int, dict[int, bytes]] = {}  # by frame and object

    def ask(self, kind: str) -> None:
        rng, group = self.rng, uuid.uuid4().hex
        frame, name = rng.randrange(FRAMES), rng.choice(["cat", "dog"] if kind != "new" else ["bird", "newt"])
        if kind in ("correct", "new"):
            self._append(replace(tam_dist.mask(name, mask(rng), frame=frame), purpose="correction", time=time.time()))
        elif kind == "absent":
            first = rng.randrange(1, FRAMES)
            self._append(replace(tam_dist.absent(name, first, min(first + 3, FRAMES - 1)), purpose="correction"))
        elif kind == "lock" and frame // CHUNK in self.store.committed:
            labels = np.asarray(self.store.labels[frame])
            for each in self.store.manifest.objects:
                there = labels == each.id
                self.locked.setdefault(frame, {})[each.id] = there.tobytes()
                data = Mask.from_array(there) if there.any() else Absent(frame, frame)
                self._append(Prompt(uuid.uuid4().hex, time.time(), "ann", frame, each.name, data, purpose="lock", group=group))
        elif kind == "retrack":
            self.store.append_entries([Retrack(group, time.time(), "ann", frame, min(frame + 9, FRAMES - 1))])
        elif kind in ("undo", "redo"):
            corrections = [
                p for p in self.store.prompts() if p.purpose == "correction" and (p.undone_by is None) == (kind == "undo")
            ]
            if corrections:
                entry = (Undo if kind == "undo" else Redo)(group, time.time(), "ann", rng.choice(corrections).uuid)
                self.store.append_entries([entry])

    def _append(self, prompt: Prompt) -> None:
        frames = range(prompt.data.first, prompt.data.last + 1) if isinstance(prompt.data, Absent) else [prompt.frame]
        if prompt.purpose == "lock" or self.locked.keys().isdisjoint(frames):  # who corrects a locked frame unlocks it first
            self.store.append_prompt(prompt)


def first_prompts(rng: random.Random) -> list[Prompt]:
    return [tam_dist.mask(name, mask(rng), frame=rng.choice([0, 2, 13])) for name in ("cat", "dog")]


def track(where: str, segments: str, rng: random.Random, asked: dict[int, str], *, killing: bool) -> list[tuple[Call, str]]:
    kills: list[tuple[Call, str]] = []

    def disturb(which: WorkerId, call: Call) -> str | None:
        what = rng.choice([None] * 12 + ["kill", "slow"]) if killing and not isinstance(call, CloseProject) else None
        if what == "kill" and len(kills) < 6:
            kills.append((call, str(which)))
            return what
        return "slow" if what == "slow" else None

    counts = {Role.DECODER: 2, Role.PROPAGATOR: 2, Role.REFINER: 1, Role.WRITER: 1}
    executor = SimulatedExecutor(World(), counts, choose=rng.choice, disturb=disturb, make=worker)
    scheduler = Scheduler(executor, config(segments))
    store = ProjectStore.open(where, write=False)
    scheduler.add(job_of(store))
    person = Person(where, rng)
    polls = 0
    while scheduler.busy:
        if polls in asked:
            person.ask(asked.pop(polls))
            scheduler.refresh(where)
        scheduler.poll(None)
        polls += 1
        assert polls < 5_000
    for kind in asked.values():  # what comes when all is done opens the video once more
        person.ask(kind)
        scheduler.refresh(where)
        scheduler.run()
    assert [run.state for run in scheduler.videos] == [VideoState.DONE], scheduler.videos[0].error
    work = due_work(store)
    assert work.edition is None
    assert not work.missing | work.stale
    for frame, masks in person.locked.items():
        for object_id, there in masks.items():
            assert (np.asarray(store.labels[frame]) == object_id).tobytes() == there, f"locked frame {frame} changed"
    executor.close_workers()
    return kills


def check(seed: int, segments: str, asked: dict[int, str], *, killing: bool) -> None:
    folder = Path(tempfile.mkdtemp(prefix="corrected"))
    try:
        rng = random.Random(seed)
        job = create(folder / "p", first_prompts(rng), config(segments), CHUNKS)
        track(job.project, segments, rng, dict(asked), killing=killing)
        replay = copied(ProjectStore.open(job.project, write=False), folder / "replay")
        track(replay.project, segments, random.Random(1), {}, killing=False)
        assert content(job.project) == content(replay.project)
    finally:
        shutil.rmtree(folder)


schedules = given(
    seed=st.integers(0, 2**20),
    segments=st.sampled_from(["whole", "3"]),
    asked=st.dictionaries(st.integers(3, 160), st.sampled_from(KINDS), min_size=1, max_size=6),
    killing=st.booleans(),
)


@settings(max_examples=10, deadline=None)
@schedules
def test_log_and_record_decide_the_masks(seed: int, segments: str, asked: dict[int, str], killing: bool) -> None:
    check(seed, segments, asked, killing=killing)


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@schedules
def test_log_and_record_decide_the_masks_fifty_times(seed: int, segments: str, asked: dict[int, str], killing: bool) -> None:
    check(seed, segments, asked, killing=killing)
