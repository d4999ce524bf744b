"""Corrections of a project that nobody tracks, one after the other, to the masks that come of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import tam_dist
from storage.project_store import ProjectStore
from tam_dist.due import due_work
from tam_dist.types import Absent
from tests.tiny import square


@pytest.fixture
def here(tracked: Path, tmp_path: Path) -> Path:
    shutil.copytree(tracked, tmp_path / "p")
    return tmp_path / "p"


def up_to_date(where: Path) -> bool:
    work = due_work(ProjectStore.open(where, write=False))
    return not (work.missing or work.stale)


def test_a_second_correction_before_the_first_one(here: Path) -> None:
    """The frames back to it were filled from the first one's masks, which are no prompts of the log."""
    for frame, at in ((33, (30, 20)), (12, (10, 4)), (22, (40, 8))):
        tam_dist.correct(here, [tam_dist.mask("cat", square(*at), frame=frame)])
        tam_dist.resume(here)
        assert up_to_date(here)
    found = tam_dist.Project.open(here)
    for frame, at in ((33, (30, 20)), (12, (10, 4)), (22, (40, 8))):
        assert np.array_equal(found.masks["cat"][frame], square(*at))
    known = {p.uuid for p in ProjectStore.open(here, write=False).prompts()}
    assert all(known.issuperset(r.prompts) for r in ProjectStore.open(here, write=False).records().values())


def test_a_frame_corrected_by_clicks_stays_as_it_was_then(here: Path) -> None:
    kept: dict[int, np.ndarray] = {}
    for frame, x in ((20, 30), (9, 50), (33, 12)):
        there = bool(tam_dist.Project.open(here).masks["cat"][frame][18, x])
        tam_dist.correct(here, [tam_dist.click("cat", x, 18, frame=frame, positive=not there)])
        found = tam_dist.resume(here).masks["cat"]
        assert found[frame][18, x] != there
        kept[frame] = found[frame].copy()
        for earlier, mask in kept.items():
            assert np.array_equal(found[earlier], mask), (frame, earlier)


def test_a_locked_frame_stays_whatever_is_corrected_elsewhere(here: Path) -> None:
    before = np.asarray(tam_dist.Project.open(here).labels[20])
    tam_dist.lock(here, 20)
    for frame in (9, 30):
        tam_dist.correct(here, [tam_dist.mask("cat", square(30, 20), frame=frame)])
        tam_dist.resume(here)
        assert up_to_date(here)
        assert np.array_equal(tam_dist.Project.open(here).labels[20], before)
    tam_dist.unlock(here, 20)
    tam_dist.resume(here)
    assert up_to_date(here)


def test_an_object_comes_goes_and_comes_back(here: Path) -> None:
    tam_dist.add_object(here, "owl", [tam_dist.mask("owl", square(10, 30), frame=12)])
    found = tam_dist.resume(here)
    assert [o.name for o in found.objects] == ["cat", "dog", "owl"]
    assert found.masks["owl"][12].any()
    tam_dist.remove_object(here, "owl", (20, 30))
    found = tam_dist.resume(here)
    assert not found.masks["owl"][20:31].any()
    tam_dist.undo(here)
    tam_dist.resume(here)
    tam_dist.redo(here)
    found = tam_dist.resume(here)
    assert not found.masks["owl"][20:31].any()
    assert Absent(20, 30) in [p.data for p in found.prompts]
    assert up_to_date(here)


def test_what_an_object_is_tracked_from_gives_way_to_something_else(here: Path) -> None:
    """As if it had been given in the first place; the undo brings the first masks back."""
    before = ProjectStore.open(here, write=False).labels[:]
    for frame, at in ((0, (6, 12)), (20, (30, 20)), (20, (32, 22))):
        tam_dist.correct(here, [tam_dist.mask("cat", square(*at), frame=frame)], replace_given=True)
        tam_dist.resume(here)
        assert up_to_date(here)
    found = tam_dist.Project.open(here)
    assert np.array_equal(found.masks["cat"][0], square(6, 12))
    assert np.array_equal(found.masks["cat"][20], square(32, 22))
    for _ in range(3):
        tam_dist.undo(here)
    tam_dist.resume(here)
    assert up_to_date(here)
    assert (ProjectStore.open(here, write=False).labels[:] == before).all()
