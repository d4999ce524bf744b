"""What is asked of a project is checked, lands in its log as one action, and is told to the run under way."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

import tam_dist
from storage import lock as locking
from storage import masks
from storage.location import Location
from storage.project_store import ProjectStore
from storage.prompt_log import Rename, Retrack
from storage.run_state import STATE
from tam_dist.addresses import parent
from tam_dist.config import load_config
from tam_dist.errors import ProjectError, ProjectLockedError, PromptError, StaleViewError, StorageError
from tam_dist.monitoring import monitor
from tam_dist.monitoring.monitor import RunMonitor, conditions_of, watch_project
from tam_dist.monitoring.report import VideoReport
from tam_dist.monitoring.requests import Requests
from tam_dist.preparation import job_of
from tam_dist.prompts import new_prompt
from tam_dist.types import Absent, ChunkResult, Click, Clicks, Mask
from tests.tam_dist.steering.conftest import Revise
from tests.tiny import square


def test_a_correction_is_one_action(project: str, store: ProjectStore) -> None:
    prompts = [tam_dist.mask("cat", square(5, 6), frame=20), tam_dist.box("dog", 1, 2, 30, 40, frame=20)]
    answer = tam_dist.correct(project, prompts)
    assert (answer.live, answer.entries) == (False, tuple(p.uuid for p in prompts))
    found = store.prompts()[-2:]
    assert [(p.purpose, p.group, p.data) for p in found] == [("correction", answer.group, p.data) for p in prompts]
    assert found[0].time < found[1].time
    alone = tam_dist.correct(project, [tam_dist.absent("cat", 30, 32)])
    assert alone.group == alone.entries[0]
    assert store.prompts()[-1].group == ""


def test_clicks_change_the_mask_that_was_looked_at(painted: str, store: ProjectStore) -> None:
    """Taken from the tracker instead, a corrected frame changed once more with every later correction before it."""
    answer = tam_dist.correct(painted, [tam_dist.click("cat", 12, 6, frame=20), tam_dist.click("cat", 1, 2, frame=20)])
    base, first, second = (p for p in store.prompts() if p.uuid in answer.entries)
    assert isinstance(base.data, Mask)
    assert np.array_equal(base.data.to_array(), store.labels[20] == 1)
    assert (first.data, second.data) == (Clicks((Click(12, 6),)), Clicks((Click(1, 2),)))
    assert {p.group for p in (base, first, second)} == {answer.group}
    more = tam_dist.correct(painted, [tam_dist.click("cat", 3, 12, frame=20)])
    assert len(more.entries) == 1  # it adds up with those before
    assert tam_dist.history(painted)[-2].asked == "clicks for 'cat' on frame 20"
    tam_dist.undo(painted)
    tam_dist.undo(painted)
    assert not any(p.uuid in answer.entries for p in store.prompts() if p.undone_by is None)


def test_where_nothing_is_stored_clicks_are_all_there_is(painted: str, store: ProjectStore) -> None:
    tam_dist.correct(painted, [tam_dist.absent("dog", 18, 19)])
    with ProjectStore.open(painted, write=True) as writing:
        labels = np.asarray(writing.labels[16:24]).copy()
        labels[labels == 2] = 0
        writing.commit(ChunkResult(2, 16, labels, np.ones((8, 2), np.float32), np.full((8, 2), 2, np.uint8)))
    answer = tam_dist.correct(painted, [tam_dist.click("dog", 40, 30, frame=20)])
    assert [p.data for p in store.prompts() if p.uuid in answer.entries] == [Clicks((Click(40, 30),))]


def test_asked_twice_it_counts_once(painted: str, store: ProjectStore) -> None:
    """As where the answer was lost, and even if the same could not be asked any more."""
    prompts = [tam_dist.click("cat", 12, 6, frame=20), tam_dist.click("dog", 5, 6, frame=20)]
    revision = {20: store.records()[2].revision}
    first = tam_dist.correct(painted, prompts, seen=revision)
    tam_dist.rename_object(painted, "cat", "tom")
    assert tam_dist.correct(painted, prompts, seen=revision) == first
    assert len(store.prompts()) == 6


def test_prompts_count_in_the_order_in_which_they_arrive(project: str, store: ProjectStore) -> None:
    """Whatever the clocks of those who gave them say."""
    late = tam_dist.click("cat", 1, 1, frame=20)
    tam_dist.correct(project, [tam_dist.click("cat", 2, 2, frame=20)])
    tam_dist.correct(project, [late])
    times = [entry.time for entry in store.entries()]
    assert times == sorted(times)
    assert [p.uuid for p in tam_dist.Project.open(project).prompts][-1] == late.uuid


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (tam_dist.click("cta", 5, 6), "no object 'cta' in this project; did you mean 'cat'"),
        (tam_dist.click("cat", 5, 6, frame=44), r"frame 44 is outside the frames 0\.\.43"),
        (tam_dist.click("cat", 64, 6), "outside the picture"),
        (tam_dist.box("cat", 5, 5, 5, 9), "is empty"),
        (tam_dist.absent("cat", 40, 44), r"40\.\.44 of 'cat' is not a range within"),
        (new_prompt(3, "cat", Clicks((Click(1, 1),) * 101)), "101 clicks on frame 3"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_lost(
    prompt: tam_dist.types.Prompt, message: str, project: str, store: ProjectStore
) -> None:
    with pytest.raises(PromptError, match=message):
        tam_dist.correct(project, [tam_dist.click("dog", 1, 1), prompt])
    assert len(store.entries()) == 2
    with pytest.raises(PromptError, match="Nothing is corrected"):
        tam_dist.correct(project, [])


def test_objects_come_go_and_are_renamed(project: str, store: ProjectStore) -> None:
    added = tam_dist.add_object(project, "owl", [tam_dist.click("x", 9, 9, frame=12), tam_dist.click("y", 3, 3, frame=13)])
    assert [(p.object_name, p.purpose, p.group) for p in store.prompts()[-2:]] == [("owl", "prompt", added.group)] * 2
    tam_dist.correct(project, [tam_dist.click("owl", 8, 8, frame=14)])  # nobody has tracked it yet
    tam_dist.remove_object(project, "dog", (10, 12))
    assert store.prompts()[-1].data == Absent(10, 12)
    tam_dist.remove_object(project, "dog")
    assert (store.prompts()[-1].data, store.prompts()[-1].purpose) == (Absent(0, 43), "correction")
    tam_dist.rename_object(project, "cat", "tom")
    entry = store.entries()[-1]
    assert isinstance(entry, Rename)
    assert (entry.object_name, entry.new_name) == ("cat", "tom")
    tam_dist.correct(project, [tam_dist.click("tom", 8, 8, frame=15)])
    assert store.prompts()[-1].object_name == "cat"
    found = tam_dist.Project.open(project)
    assert [o.name for o in found.objects] == ["tom", "dog"]
    assert np.array_equal(found.masks["tom"][0], square(4, 10))
    assert {p.object_name for p in found.prompts} == {"tom", "dog", "owl"}
    tam_dist.rename_object(project, "tom", "cat")
    assert "cat" in tam_dist.Project.open(project).masks


@pytest.mark.parametrize(
    ("name", "message"),
    [("dog", "There is an object 'dog'"), ("tom", "There is an object 'tom'"), ("cat", "'cat' was the first name of 'tom'")],
)
def test_a_name_means_one_object(name: str, message: str, project: str) -> None:
    tam_dist.rename_object(project, "cat", "tom")
    with pytest.raises(PromptError, match=message):
        tam_dist.add_object(project, name, [tam_dist.click(name, 1, 1)])
    with pytest.raises(PromptError, match=message):
        tam_dist.rename_object(project, "dog" if name != "dog" else "tom", name)


def test_an_object_that_is_not_shown_is_not_added(project: str) -> None:
    with pytest.raises(PromptError, match="only negative clicks"):
        tam_dist.add_object(project, "owl", [tam_dist.click("owl", 1, 1, positive=False)])
    with pytest.raises(PromptError, match="Nothing is asked for"):
        tam_dist.add_object(project, "owl", [])


def test_a_project_has_room_for_so_many_objects(project: str, store: ProjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masks, "_MAX_UINT8_OBJECTS", 2)
    with pytest.raises(ProjectError, match="has room for 2 objects, not 3"):
        tam_dist.add_object(project, "owl", [tam_dist.click("owl", 9, 9)])
    assert len(store.entries()) == 2


def test_frames_are_asked_for_anew(project: str, store: ProjectStore) -> None:
    tam_dist.retrack(project, 8, 15)
    entry = store.entries()[-1]
    assert isinstance(entry, Retrack)
    assert (entry.first, entry.last) == (8, 15)
    for first, last, message in ((8, 44, "no frame 44"), (9, 8, r"9\.\.8 are no frames")):
        with pytest.raises(PromptError, match=message):
            tam_dist.retrack(project, first, last)


# --- locks -------------------------------------------------------------------------------------------------------------


def test_a_lock_keeps_every_object_as_it_is(project: str, store: ProjectStore) -> None:
    labels = store.labels[20]
    answer = tam_dist.lock(project, 20)
    kept = {p.object_name: p for p in store.prompts() if p.uuid in answer.entries}
    assert {(p.purpose, p.frame, p.group) for p in kept.values()} == {("lock", 20, answer.group)}
    for number, name in ((1, "cat"), (2, "dog")):
        data = kept[name].data
        if (labels == number).any():
            assert isinstance(data, Mask)
            assert np.array_equal(data.to_array(), labels == number)
        else:
            assert data == Absent(20, 20)
    with pytest.raises(PromptError, match="Frame 20 is locked already"):
        tam_dist.lock(project, 20)


def test_what_is_locked_is_not_changed_before_it_is_unlocked(project: str, store: ProjectStore) -> None:
    tam_dist.lock(project, 0)
    before = store.entries()
    for change in (
        lambda: tam_dist.correct(project, [tam_dist.click("cat", 5, 12)]),
        lambda: tam_dist.correct(project, [tam_dist.absent("cat", 0, 9)]),
        lambda: tam_dist.remove_object(project, "cat"),
    ):
        with pytest.raises(PromptError, match="Frame 0 is locked for 'cat': unlock it first"):
            change()
    assert store.entries() == before
    tam_dist.unlock(project, 0, objects=["cat"])
    tam_dist.remove_object(project, "cat")
    with pytest.raises(PromptError, match="locked for 'dog'"):
        tam_dist.remove_object(project, "dog")
    with pytest.raises(PromptError, match="Frame 0 is not locked for these objects"):
        tam_dist.unlock(project, 0, objects=["cat"])
    tam_dist.unlock(project, 0)
    with pytest.raises(PromptError, match="Frame 0 is not locked"):
        tam_dist.unlock(project, 0)


def test_a_frame_without_masks_is_not_locked(project: str) -> None:
    with ProjectStore.open(project, write=True) as writing:
        writing.forget([1])
    with pytest.raises(PromptError, match="Frame 9 is not tracked yet"):
        tam_dist.lock(project, 9)
    with pytest.raises(PromptError, match="There is no frame 44"):
        tam_dist.lock(project, 44)


# --- two people --------------------------------------------------------------------------------------------------------


def test_a_correction_of_masks_that_are_others_now_is_refused(project: str, store: ProjectStore, revise: Revise) -> None:
    revise(2)
    with pytest.raises(StaleViewError, match="Frame 20 has masks of revision 2, and what you looked at was revision 1"):
        tam_dist.correct(project, [tam_dist.click("cat", 5, 6, frame=20)], seen={20: 1})
    with pytest.raises(StaleViewError):
        tam_dist.lock(project, 20, seen={20: 1})
    tam_dist.correct(project, [tam_dist.click("cat", 5, 6, frame=20)], seen={20: 2})


def test_a_correction_of_what_another_one_corrects_is_refused(project: str) -> None:
    bob = new_prompt(20, "cat", Clicks((Click(1, 1),)), author="bob")
    tam_dist.correct(project, [bob], seen={20: 1})
    tam_dist.correct(project, [new_prompt(20, "cat", Clicks((Click(2, 1),)), author="bob")], seen={20: 1})
    tam_dist.correct(project, [new_prompt(20, "dog", Clicks((Click(2, 1),)), author="ann")], seen={20: 1})
    ann = new_prompt(20, "cat", Clicks((Click(3, 1),)), author="ann")
    with pytest.raises(StaleViewError, match="bob has corrected 'cat' on frame 20 meanwhile"):
        tam_dist.correct(project, [ann], seen={20: 1})
    tam_dist.correct(project, [ann])  # who does not say what they saw means it


# --- runs --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def attentive(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOCAL_LOOK_SECONDS", "REMOTE_LOOK_SECONDS", "LOCAL_SECONDS", "REMOTE_SECONDS"):
        monkeypatch.setattr(monitor, name, 1e-9)
    monkeypatch.setattr(monitor, "_WRITING_SHARE", 1e9)


@pytest.mark.usefixtures("attentive")
def test_the_run_of_the_video_is_told(project: str, store: ProjectStore) -> None:
    job = job_of(store)
    with watch_project(job, load_config(), "inline") as watched:
        assert tam_dist.correct(project, [tam_dist.click("cat", 5, 6)]).live
        assert watched.requests() == Requests(refresh=frozenset({job.project}))
        assert tam_dist.undo(project).live
    assert not tam_dist.redo(project).live


@pytest.mark.usefixtures("attentive")
def test_the_run_of_many_videos_is_told(project: str, store: ProjectStore) -> None:
    job = job_of(store)
    folder = Location.parse(parent(project))
    with RunMonitor(folder, conditions_of(load_config(), "ray")) as watched:
        assert not tam_dist.correct(project, [tam_dist.click("cat", 5, 6)]).live  # it is none of its videos
        watched.note(VideoReport("p", job.uri, "done", 44, 44))
        assert not tam_dist.correct(project, [tam_dist.click("cat", 5, 6)]).live  # done by an earlier run
        watched.add("p", job)
        assert tam_dist.correct(project, [tam_dist.click("cat", 5, 6)]).live
        assert watched.requests() == Requests(refresh=frozenset({job.project}))


@pytest.mark.parametrize("state", ["cancelled", "failed"])
def test_a_video_that_was_given_up_is_continued_first(state: str, project: str, store: ProjectStore) -> None:
    with ProjectStore.open(project, write=True) as writing:
        writing.set_state(state, "It broke.")  # type: ignore[arg-type]
        assert not tam_dist.correct(project, [tam_dist.click("cat", 5, 6)]).live  # somebody continues it now
    with pytest.raises(ProjectError, match=f"{state}: continue it with tam-dist resume"):
        tam_dist.correct(project, [tam_dist.click("cat", 5, 7)])
    assert len(store.prompts()) == 3


def test_a_project_that_an_older_version_writes_is_left_alone(project: str) -> None:
    """It would end at the first entry of a kind that it does not know."""
    with ProjectStore.open(project, write=True) as writing:
        writing.set_state("running")
        tam_dist.correct(project, [tam_dist.click("cat", 5, 6)])
        (Location.parse(project) / STATE).write(b'{"state": "running", "reason": "", "time": 1.0}')
        with pytest.raises(ProjectLockedError, match=f"an older tam-dist, process {os.getpid()} on host"):
            tam_dist.rename_object(project, "cat", "tom")
    tam_dist.rename_object(project, "cat", "tom")


def test_there_must_be_a_project(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="is not a tam-dist project"):
        tam_dist.undo(tmp_path)
    assert locking.LOCK not in os.listdir(tmp_path)


def test_a_full_disk_leaves_no_part_of_an_action(tracked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    shutil.copytree(tracked, tmp_path / "p")
    before = (tmp_path / "p" / "prompts.jsonl").read_bytes()
    sync = os.fsync

    def full(descriptor: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("prompts.jsonl"):
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    prompts = [tam_dist.click("cat", 5, 6, frame=20), tam_dist.click("dog", 5, 6, frame=20)]
    with pytest.raises(StorageError, match=r"prompts\.jsonl failed, the disk is full: free space"):
        tam_dist.correct(tmp_path / "p", prompts)
    assert (tmp_path / "p" / "prompts.jsonl").read_bytes() == before
    monkeypatch.undo()
    tam_dist.correct(tmp_path / "p", prompts)
