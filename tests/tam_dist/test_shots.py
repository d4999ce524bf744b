"""A film tracked by its shots: cuts are looked for once, first, and the masks are the same whatever interrupts the run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import tam_dist
import tam_dist.due
from storage.project_store import ProjectStore
from storage.shots import SHOTS
from tam_dist.config import load_config
from tam_dist.coordination.events import Event, ShotsScanned
from tam_dist.due import borders_of, due_work, most_segments
from tam_dist.errors import ConfigError, SchemaError
from tam_dist.media.contact_sheet import save_contact_sheet
from tam_dist.media.reader import open_video
from tam_dist.monitoring.status import look
from tam_dist.sheet_frames import chosen_frames
from tam_dist.tracking.passes import Pass
from tam_dist.tracking.spec import SessionSpec
from tam_dist.types import Click, Clicks, Cut, Origin, Prompt, TrackedObject
from tests.films import film
from tests.interrupting import track_in_pieces
from tests.tiny import square, write_frames

#: Shots begin with the second frames of chunks 2, 4 and 6 (of 8 frames); the last is too short for a segment of its own.
CUTS, FRAMES = [17, 33, 49, 66], 71
SEGMENTS = (0, 2, 4, 6)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_frames(tmp_path_factory.mktemp("shots") / "film", film(CUTS, FRAMES))


@pytest.fixture(scope="module")
def settings(tiny_settings: tuple[str, ...]) -> list[str]:
    refinement = ["mode=on", "threshold=0", "release=0", "margin=-1"]
    on = [f"refinement.{each}" for each in refinement]
    return [*tiny_settings, *on, "tracking.direction=both", "tracking.segments=shots"]


def prompts() -> list[Prompt]:
    """In one shot alone."""
    return [tam_dist.mask("cat", square(20, 10), frame=36), tam_dist.click("dog", 40, 30, frame=40)]


@pytest.fixture(autouse=True)
def short_scans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tam_dist.due, "SCAN_FRAMES", 20)


@pytest.fixture(scope="module")
def by_shots(video: Path, settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> tam_dist.Project:
    return tam_dist.track(video, prompts(), out=tmp_path_factory.mktemp("by-shots") / "p", settings=settings)


def test_segments_are_the_shots_and_all_of_them_are_reached(by_shots: tam_dist.Project) -> None:
    store = ProjectStore.open(by_shots.location, write=False)
    (scan,) = store.shots()
    assert (scan.start, scan.stop, [cut.frame for cut in scan.cuts]) == (0, FRAMES, CUTS)
    work = due_work(store)
    assert work.up_to_date == frozenset(range(9))
    assert work.asked.borders == SEGMENTS
    assert work.asked.spec_at(0).cuts == tuple(CUTS)
    forward = [each for each in work.asked.passes if not each.backward]
    assert forward == [Pass(0, 2), Pass(2, 4), Pass(4, 6), Pass(6, 9)]
    assert [work.asked.spec_at(0).reference_frames(each) for each in forward] == [(36, 40), (36, 40), (), (36, 40)]
    assert (np.asarray(by_shots.origin[:]) != Origin.UNTRACKED).all()
    assert [cut for chunk in range(9) for cut in store.records()[chunk].cuts or ()] == CUTS


def test_stopped_anywhere_it_resumes_to_the_same_masks(
    video: Path, settings: list[str], tmp_path: Path, by_shots: tam_dist.Project
) -> None:
    done, events = track_in_pieces(video, prompts(), tmp_path / "p", settings)
    assert done.status.state == "done"
    assert np.array_equal(done.labels[:], by_shots.labels[:])
    assert np.array_equal(done.quality[:], by_shots.quality[:], equal_nan=True)
    assert [event.frames for event in events if isinstance(event, ShotsScanned)] == [0, 20, 40, 60, 71]


def test_what_was_looked_through_before_a_stop_is_not_looked_through_again(
    video: Path, settings: list[str], tmp_path: Path, by_shots: tam_dist.Project
) -> None:
    done, events = track_in_pieces(video, prompts(), tmp_path / "p", settings, after=ShotsScanned)
    told = [event.frames for event in events if isinstance(event, ShotsScanned)]
    assert told == [0, 20, 20, 40, 40, 60, 60, 71], "each run goes on where the one before was stopped"
    assert np.array_equal(done.labels[:], by_shots.labels[:])


def test_shots_that_were_lost_are_found_again_and_nothing_is_tracked_again(
    video: Path, settings: list[str], tmp_path: Path
) -> None:
    made = tam_dist.track(video, prompts(), out=tmp_path / "p", settings=settings)
    revisions = {c: r.revision for c, r in ProjectStore.open(made.location, write=False).records().items()}
    (tmp_path / "p" / SHOTS).unlink()
    events: list[Event] = []
    tam_dist.resume(tmp_path / "p", listener=events.append)
    store = ProjectStore.open(made.location, write=False)
    assert {c: r.revision for c, r in store.records().items()} == revisions
    assert [cut.frame for cut in store.shots()[0].cuts] == CUTS
    assert not due_work(store).stale


def test_a_damaged_list_of_shots_is_named(video: Path, settings: list[str], tmp_path: Path) -> None:
    tam_dist.track(video, prompts(), out=tmp_path / "p", settings=settings)
    for damaged in ("", "{", '{"scans": [{"start": 0}]}', '{"scans": [[]]}'):
        (tmp_path / "p" / SHOTS).write_text(damaged, encoding="utf-8")
        with pytest.raises(SchemaError, match=r"shots\.json is damaged: remove it"):
            tam_dist.resume(tmp_path / "p")


def test_long_shots_are_cut_and_a_length_below_a_chunk_is_refused(video: Path, settings: list[str], tmp_path: Path) -> None:
    long = tam_dist.track(video, prompts(), out=tmp_path / "p", settings=[*settings, "tracking.max_segment=20"])
    assert due_work(ProjectStore.open(long.location, write=False)).asked.borders == (0, 2, 4, 6, 7)
    with pytest.raises(ConfigError, match=r"tracking\.max_segment \(5\) must be 0 or at least tracking\.chunk_size"):
        tam_dist.track(video, prompts(), out=tmp_path / "q", settings=[*settings, "tracking.max_segment=5"])


@hypothesis.settings(deadline=None)
@hypothesis.given(st.integers(1, 2000), st.lists(st.integers(1, 1999)), st.sampled_from([0, 16, 31, 32, 48, 49, 80, 3000]))
def test_no_film_has_more_segments_than_workers_are_made_for(frames: int, cuts: list[int], longest: int) -> None:
    tracking = load_config(["tracking.segments=shots", f"tracking.max_segment={longest}"]).tracking
    found = [Cut(frame, 1.0) for frame in sorted(set(cuts)) if frame < frames]
    assert len(borders_of(tracking, frames, found)) <= most_segments(tracking, frames)


@pytest.mark.parametrize(("cuts", "frames"), [([], 30), ([], 1), ([1], 17), ([16], 17)])
def test_films_of_one_shot_or_hardly_more_are_tracked_whole(
    settings: list[str], tmp_path: Path, cuts: list[int], frames: int
) -> None:
    """Also with a cut on the second frame and on the last."""
    video = write_frames(tmp_path / "film", film(cuts, frames))
    given = [tam_dist.mask("cat", square(20, 10), frame=0)]
    found = [
        tam_dist.track(video, given, out=tmp_path / how, settings=[*settings, f"tracking.segments={how}"])
        for how in ("whole", "shots")
    ]
    assert np.array_equal(found[0].labels[:], found[1].labels[:])
    assert due_work(ProjectStore.open(found[1].location, write=False)).asked.borders == (0,)


def test_cuts_are_shown(by_shots: tam_dist.Project, tmp_path: Path) -> None:
    fields = json.loads((Path(by_shots.location) / SHOTS).read_text(encoding="utf-8"))
    assert [frame for frame, _ in fields["scans"][0]["cuts"]] == CUTS
    assert by_shots.cuts == look(by_shots.location).cuts == tuple(CUTS)
    assert by_shots.cuts_are_known
    assert chosen_frames(by_shots, "cuts", 9) == [0, *CUTS]
    with_shots = by_shots.write_contact_sheet(tmp_path / "sheet.png").read_bytes()
    with open_video(by_shots.video.uri) as reader:
        save_contact_sheet(reader, by_shots.labels.__getitem__, by_shots.objects, tmp_path / "without.png")
    assert with_shots != (tmp_path / "without.png").read_bytes()


def test_one_prompt_reaches_three_hundred_shots() -> None:
    """Each pass starts from it, and none goes backwards but in its own shot."""
    cuts = [Cut(25 * n + 1, 0.5) for n in range(1, 300)]
    tracking = replace(load_config().tracking, segments="shots", chunk_size=8)
    borders = tam_dist.due.borders_of(tracking, 25 * 300, cuts)
    assert len(borders) == 300
    cat = TrackedObject(1, "cat", (0, 0, 0))
    given = (Prompt("u", 0.0, "ann", 4010, "cat", Clicks((Click(3, 4),))),)
    propagation = load_config().propagation
    spec = SessionSpec(64, 48, 25 * 300, 8, (cat,), given, propagation, direction="both", borders=borders)
    backward = [each for each in spec.passes if each.backward]
    assert [4010 // 8 in each.chunks for each in backward] == [True]
    forward = [each for each in spec.passes if not each.backward]
    assert [each.first for each in forward] == [*borders]
    own = next(each for each in forward if 4010 // 8 in each.chunks)
    assert {spec.reference_frames(each) for each in forward if each != own} == {(4010,)}
    assert spec.reference_frames(own) == ()


def test_an_object_that_is_absent_in_a_whole_shot_is_not_marked_there(video: Path, settings: list[str], tmp_path: Path) -> None:
    given = [*prompts(), tam_dist.absent("cat", 17, 32)]
    project = tam_dist.track(video, given, out=tmp_path / "p", settings=settings)
    origin = np.asarray(project.origin[:])
    assert (origin[17:33, 0] == Origin.ABSENT).all()
    assert not project.masks["cat"][17:33].any()
    assert (origin[:17, 0] != Origin.UNTRACKED).all()
    assert (origin[33:, 0] != Origin.UNTRACKED).all()
