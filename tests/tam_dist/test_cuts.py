"""SAM is asked about every object where a shot begins, in both directions, whatever interrupts the run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tam_dist
from storage.project_store import ProjectStore
from tam_dist.coordination.events import Event, SegmentationAsked
from tam_dist.types import Origin, Prompt
from tests.films import film
from tests.interrupting import track_in_pieces
from tests.tiny import square, write_frames

#: The first frame of a chunk of 8, the last of one, and one in a chunk's middle; the object is given in the second shot.
CUTS, FRAMES, GIVEN = [16, 31, 46], 60, 20


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_frames(tmp_path_factory.mktemp("cuts") / "film", film(CUTS, FRAMES))


@pytest.fixture(scope="module")
def settings(tiny_settings: tuple[str, ...]) -> list[str]:
    """No mask is poor, and every answer is good."""
    refinement = ["mode=on", "threshold=0", "release=0", "margin=-1"]
    return [*tiny_settings, "tracking.direction=both", *(f"refinement.{each}" for each in refinement)]


def prompts() -> list[Prompt]:
    return [tam_dist.mask("cat", square(20, 10), frame=GIVEN)]


@pytest.fixture(scope="module")
def tracked(video: Path, settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[tam_dist.Project, list[Event]]:
    events: list[Event] = []
    out = tmp_path_factory.mktemp("tracked") / "p"
    return tam_dist.track(video, prompts(), out=out, settings=settings, listener=events.append), events


def test_each_cut_is_asked_about_on_its_far_side(tracked: tuple[tam_dist.Project, list[Event]]) -> None:
    project, events = tracked
    asked = sorted(event.chunk for event in events if isinstance(event, SegmentationAsked))
    assert asked == [1, 3, 5]  # backwards frame 15, the last before its cut; forwards frames 31 and 46
    refined = np.flatnonzero(np.asarray(project.origin[:])[:, 0] == Origin.REFINED)
    assert set(refined) <= {15, 31, 46}


def test_a_project_knows_the_cuts_of_what_is_tracked(tracked: tuple[tam_dist.Project, list[Event]]) -> None:
    records = ProjectStore.open(tracked[0].location, write=False).records()
    assert [cut for chunk in range(8) for cut in records[chunk].cuts or ()] == CUTS


def test_stopped_anywhere_it_resumes_to_the_same_masks(
    video: Path, settings: list[str], tmp_path: Path, tracked: tuple[tam_dist.Project, list[Event]]
) -> None:
    done, _ = track_in_pieces(video, prompts(), tmp_path / "p", settings)
    assert np.array_equal(done.labels[:], tracked[0].labels[:])
    assert np.array_equal(done.quality[:], tracked[0].quality[:], equal_nan=True)


@pytest.mark.parametrize("off", ["refinement.mode=off", "refinement.at_cuts=false"])
def test_turned_off_nobody_is_asked_or_looks(video: Path, settings: list[str], tmp_path: Path, off: str) -> None:
    events: list[Event] = []
    project = tam_dist.track(video, prompts(), out=tmp_path / "p", settings=[*settings, off], listener=events.append)
    assert not any(isinstance(event, SegmentationAsked) for event in events)
    assert all(record.cuts is None for record in ProjectStore.open(project.location, write=False).records().values())
