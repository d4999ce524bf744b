"""Corrections while a video is tracked and after: what is stored is what log and track record say, whatever the timing was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tam_dist
from storage.project_store import ProjectStore
from tam_dist.due import due_work
from tam_dist.types import Origin, Prompt
from tests.replaying import replayed
from tests.steered import correction, steered
from tests.tiny import square

Settings = tuple[str, ...]


@pytest.fixture(scope="module")
def settings(tiny_settings: Settings) -> list[str]:
    return [*tiny_settings, "tracking.direction=both", "tracking.settled_frames=8"]


def first() -> list[Prompt]:
    return [tam_dist.mask("cat", square(4, 10), frame=2), tam_dist.click("dog", 40, 30, frame=3)]


def same(one: tam_dist.Project, other: tam_dist.Project) -> bool:
    scores = np.array_equal(one.quality[:], other.quality[:], equal_nan=True)
    return bool(np.array_equal(one.labels[:], other.labels[:]) and np.array_equal(one.origin[:], other.origin[:]) and scores)


def test_a_finished_project_is_corrected(tiny_video: Path, settings: list[str], tmp_path: Path) -> None:
    done = tam_dist.track(tiny_video, first(), out=tmp_path / "p", settings=settings)
    before = np.asarray(done.labels[:])
    store = ProjectStore.open(done.location, write=False)
    revisions = {chunk: record.revision for chunk, record in store.records().items()}
    store.append_prompt(correction(tam_dist.mask("cat", square(30, 20), frame=25)))
    again = tam_dist.resume(done.location)
    assert again.status.state == "done"
    assert np.array_equal(again.masks["cat"][25], square(30, 20))
    after = np.asarray(again.labels[:])
    assert np.array_equal(before[:3], after[:3])
    assert again.origin[25][0] == Origin.PROMPTED
    grown = {chunk for chunk, record in store.records().items() if record.revision > revisions[chunk]}
    assert 3 in grown
    work = due_work(store)
    assert not work.missing | work.stale
    assert same(again, replayed(again, tmp_path / "replay"))


@pytest.mark.parametrize("segments", ["whole", "2"])
def test_corrections_reach_a_video_while_it_is_tracked(
    tiny_video: Path, settings: list[str], tmp_path: Path, segments: str
) -> None:
    """Behind what is tracked, ahead of it, for a new object, in another segment."""
    given = [
        correction(tam_dist.mask("cat", square(30, 20), frame=9)),
        correction(tam_dist.mask("dog", square(8, 28), frame=30)),
        correction(tam_dist.mask("bird", square(44, 4), frame=20)),
    ]
    done = steered(tiny_video, first(), given, tmp_path / "p", [*settings, f"tracking.segments={segments}"], every=2)
    assert done.status.state == "done"
    for prompt in given:
        assert np.array_equal(done.masks[prompt.object_name][prompt.frame], prompt.data.to_array())
    assert same(done, replayed(done, tmp_path / "replay"))
