"""Segments are tracked by themselves, from references, and whatever interrupts them their masks are the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tam_dist
from storage.project_store import ProjectStore
from tam_dist.due import due_work
from tam_dist.errors import ConfigError
from tam_dist.tracking.passes import Direction, Pass
from tam_dist.types import Origin, Prompt
from tests.interrupting import track_in_pieces
from tests.tiny import square

Settings = tuple[str, ...]


def prompts() -> list[Prompt]:
    """The cat in the second and last of three segments, the dog in the middle of the second, by a click."""
    return [
        tam_dist.mask("cat", square(20, 10), frame=18),
        tam_dist.click("dog", 40, 30, frame=27),
        tam_dist.mask("cat", square(24, 10), frame=40),
    ]


@pytest.fixture(scope="module")
def settings(tiny_settings: Settings) -> list[str]:
    return [*tiny_settings, "tracking.direction=both", "tracking.segments=2"]


@pytest.fixture(scope="module")
def segmented(tiny_video: Path, settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> tam_dist.Project:
    return tam_dist.track(tiny_video, prompts(), out=tmp_path_factory.mktemp("segments") / "p", settings=settings)


def test_every_frame_is_reached_from_prompts_in_other_segments(segmented: tam_dist.Project) -> None:
    origin = np.asarray(segmented.origin[:])
    assert segmented.labels.shape[0] == 44
    prompted = [(18, 0), (27, 1), (40, 0)]
    assert [origin[frame, column] for frame, column in prompted] == [Origin.PROMPTED] * 3
    assert (origin != Origin.UNTRACKED).all()
    assert (origin == Origin.PROMPTED).sum() == 3
    assert np.array_equal(segmented.masks["cat"][18], square(20, 10))
    assert segmented.labels[:16].any(), "the first segment has no prompt of its own"


def test_what_is_tracked_where_follows_from_prompts_and_settings_alone(segmented: tam_dist.Project) -> None:
    spec = due_work(ProjectStore.open(segmented.location, write=False)).asked.spec_at(0)
    forward = (Pass(0, 2), Pass(2, 4), Pass(4, 6))
    back = (Pass(2, 4, Direction.BACKWARD), Pass(4, 6, Direction.BACKWARD))
    assert spec.passes == (*forward, *back)
    assert [spec.reference_frames(each) for each in forward] == [(18, 27, 40), (40,), (18, 27)]
    assert [set(spec.seeded(each)) for each in (*forward, *back)] == [{1, 2}, {1}, {1, 2}, set(), set()]
    assert len({spec.basis(chunk).prompts for chunk in range(6)}) == 1


def test_a_click_shows_an_object_afresh_however_it_was_tracked_from_references(
    tiny_video: Path, settings: list[str], tmp_path: Path
) -> None:
    click, elsewhere = tam_dist.click("cat", 40, 30, frame=27), tam_dist.mask("cat", square(24, 10), frame=40)
    alone = tam_dist.track(tiny_video, [click], out=tmp_path / "alone", settings=settings)
    referring = tam_dist.track(tiny_video, [click, elsewhere], out=tmp_path / "referring", settings=settings)
    assert np.array_equal(alone.masks["cat"][27], referring.masks["cat"][27])


def test_stopped_anywhere_it_resumes_to_the_same_masks(
    tiny_video: Path, settings: list[str], tmp_path: Path, segmented: tam_dist.Project
) -> None:
    done, _ = track_in_pieces(tiny_video, prompts(), tmp_path / "p", settings)
    assert done.status.state == "done"
    assert np.array_equal(done.labels[:], segmented.labels[:])
    assert np.array_equal(done.quality[:], segmented.quality[:], equal_nan=True)


def test_the_order_in_which_passes_run_changes_nothing(
    tiny_video: Path, settings: list[str], tmp_path: Path, segmented: tam_dist.Project
) -> None:
    one = [*settings, "cluster.sessions_per_propagator=1"]
    alone = tam_dist.track(tiny_video, prompts(), out=tmp_path / "one", settings=one)
    assert np.array_equal(alone.labels[:], segmented.labels[:])
    assert np.array_equal(alone.quality[:], segmented.quality[:], equal_nan=True)


def test_one_segment_as_long_as_the_video_is_the_whole(tiny_video: Path, settings: list[str], tmp_path: Path) -> None:
    given = prompts()
    found = [
        tam_dist.track(tiny_video, given, out=tmp_path / n, settings=[*settings, f"tracking.segments={n}"])
        for n in ("whole", "50")
    ]
    assert np.array_equal(found[0].labels[:], found[1].labels[:])


def test_a_length_that_is_none_is_named(tiny_video: Path, settings: list[str], tmp_path: Path) -> None:
    for wrong in ("0", "-3", "some"):
        with pytest.raises(ConfigError, match=r"tracking\.segments must be whole, shots or a number"):
            tam_dist.track(tiny_video, prompts(), out=tmp_path / "p", settings=[*settings, f"tracking.segments={wrong}"])
