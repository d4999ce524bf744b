"""Every frame is reached: what lies before an object's first prompt is filled backwards, whatever interrupts it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tam_dist
from storage.project_store import ProjectStore
from tam_dist.coordination.events import ChunkTracked
from tam_dist.due import due_work
from tam_dist.types import Origin, Prompt
from tests.interrupting import track_in_pieces
from tests.tiny import square

Settings = tuple[str, ...]


def prompts() -> list[Prompt]:
    return [
        tam_dist.mask("cat", square(20, 10), frame=9),
        tam_dist.click("dog", 40, 30, frame=27),
        tam_dist.click("cat", 30, 14, frame=35),
    ]


@pytest.fixture(scope="module")
def ways(tiny_video: Path, tiny_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> list[tam_dist.Project]:
    """Tracked forward, and both ways."""
    out = tmp_path_factory.mktemp("ways")
    return [
        tam_dist.track(tiny_video, prompts(), out=out / way, settings=[*tiny_settings, f"tracking.direction={way}"])
        for way in ("forward", "both")
    ]


def test_frames_before_the_first_prompt_are_filled_and_the_others_stay(ways: list[tam_dist.Project]) -> None:
    forward, both = ways
    before, after = np.asarray(forward.origin[:]), np.asarray(both.origin[:])
    assert (after[before != Origin.UNTRACKED] == before[before != Origin.UNTRACKED]).all()
    assert (before[:9, 0] == Origin.UNTRACKED).all()
    assert (after[:9, 0] == Origin.PROPAGATED).all()
    assert (after[:27, 1] == Origin.PROPAGATED).all()
    quality = np.asarray(both.quality[:])
    assert np.isfinite(quality).all()
    assert np.array_equal(forward.labels[27:], both.labels[27:])
    assert np.array_equal(both.masks["cat"][9], square(20, 10))
    assert (forward.status.frames_done, both.status.frames_done) == (44, 44)


def test_stopped_anywhere_it_resumes_to_the_same_masks(
    tiny_video: Path, tiny_settings: Settings, tmp_path: Path, ways: list[tam_dist.Project]
) -> None:
    """Ten times a chunk is tracked: six forwards, four backwards."""
    settings = [*tiny_settings, "tracking.direction=both"]
    expected, out = ways[1], tmp_path / "p"
    done, events = track_in_pieces(tiny_video, prompts(), out, settings)
    assert done.status.state == "done"
    assert np.array_equal(done.labels[:], expected.labels[:])
    assert np.array_equal(done.quality[:], expected.quality[:], equal_nan=True)
    assert sum(isinstance(e, ChunkTracked) for e in events) == 10, "what was saved is not tracked again"
    assert not list((out / "checkpoints-backward").glob("*"))


def test_what_a_backward_pass_starts_from_decides_what_is_due(ways: list[tam_dist.Project]) -> None:
    store = ProjectStore.open(ways[1].location, write=False)
    work = due_work(store)
    assert not work.missing | work.stale
    assert [len(each.chunks) for each in work.asked.passes] == [6, 4]
    records = store.records()
    assert [bool(records[chunk].basis and records[chunk].basis.fill) for chunk in range(6)] == [True] * 4 + [False] * 2
