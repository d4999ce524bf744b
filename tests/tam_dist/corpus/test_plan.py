"""Estimates: where videos would go, what decides the time, and that nothing is changed by asking."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tam_dist
from storage.project_store import ProjectStore
from tam_dist.config import PropagationConfig, load_config
from tam_dist.coordination.calls import Role
from tam_dist.corpus.lines import PromptRule, read_corpus
from tam_dist.corpus.plan import CorpusPlan, Costs, PlannedVideo, plan_corpus, schedule
from tam_dist.corpus.run import run_corpus
from tam_dist.preparation import prepare, settle
from tam_dist.types import Cut, ShotScan

FREE = dict.fromkeys(Role, 0.0)


def costs(**seconds: float) -> Costs:
    return Costs(FREE | {Role(role): value for role, value in seconds.items()}, "a guess")


def videos(*frames: int) -> list[PlannedVideo]:
    return [PlannedVideo(str(n), f"{n}.mp4", "new", count, 1000, 1000) for n, count in enumerate(frames)]


def workers(**counts: int) -> dict[Role, int]:
    return dict.fromkeys(Role, 1) | {Role(role): count for role, count in counts.items()}


def at(short_side: int) -> PropagationConfig:
    return load_config([f"propagation.short_side={short_side}"]).propagation


def test_long_videos_go_first_to_whoever_is_free() -> None:
    plan = schedule(videos(10, 60, 30, 20), workers(propagator=2), costs(propagator=1.0), at(1000))
    assert [(v.propagator, v.start, v.end) for v in plan.videos] == [(1, 50, 60), (0, 0, 60), (1, 0, 30), (1, 30, 50)]
    assert plan.seconds == 60


@pytest.mark.parametrize("role", list(Role))
def test_the_slowest_stage_decides(role: Role) -> None:
    plan = schedule(videos(10, 10), workers(), costs(**{"propagator": 1.0, role.value: 3.0}), at(1000))
    assert (plan.bottleneck, plan.seconds) == (role, 60)


def test_models_cost_what_they_see_and_the_others_what_the_source_has() -> None:
    plan = schedule(videos(100), workers(), costs(propagator=1.0), at(500))
    assert plan.seconds == pytest.approx(25)
    assert schedule(videos(100), workers(), costs(decoder=1.0), at(500)).seconds == pytest.approx(100)


def test_segments_of_one_video_share_the_propagators() -> None:
    (video,) = videos(80)
    split = replace(video, segments=(10, 40, 10, 20))
    plan = schedule([split], workers(propagator=2), costs(propagator=1.0), at(1000))
    assert (plan.seconds, plan.videos[0].start, plan.videos[0].end) == (40, 0, 40)
    assert schedule([split], workers(propagator=64), costs(propagator=1.0), at(1000)).seconds == 40, "the longest decides"
    assert schedule([split], workers(propagator=1), costs(propagator=1.0), at(1000)).seconds == 80


def test_segments_are_counted_and_shots_guessed_until_they_are_known(
    tmp_path: Path, clip: Callable[[Path, int], Path], tiny_settings: tuple[str, ...]
) -> None:
    clip(tmp_path / "a.mp4", 0)
    lines = read_corpus(f"{tmp_path}/*.mp4", PromptRule(clicks=("cat@0:12,18",)))

    def planned(how: str) -> CorpusPlan:
        config = settle(load_config([*tiny_settings, f"tracking.segments={how}"]))
        return plan_corpus(lines, str(tmp_path / "out"), config, "inline")

    assert planned("whole").videos[0].segments == (48,)
    assert planned("4").videos[0].segments == (32, 16)
    assert planned("shots").videos[0].guessed
    assert list(planned("4").what_if) == [1, 8, 64]
    assert planned("4").what_if[8] < planned("4").what_if[1] == pytest.approx(planned("whole").what_if[8])
    config = settle(load_config([*tiny_settings, "tracking.segments=shots"]))
    prepare(str(tmp_path / "a.mp4"), [tam_dist.click("cat", 12, 18)], str(tmp_path / "out" / "a"), config)
    with ProjectStore.open(tmp_path / "out" / "a", write=True) as store:
        store.keep_shots(ShotScan(0, 48, (Cut(25, 0.5),), 0))
    known = planned("shots").videos[0]
    assert (known.segments, known.guessed) == ((24, 24), False)


def test_nothing_to_do() -> None:
    plan = schedule([PlannedVideo("a", "a", "done")], workers(), costs(propagator=1.0), at(500))
    assert (plan.seconds, plan.bottleneck) == (0, None)


@given(st.lists(st.integers(0, 1000), max_size=12), st.integers(1, 5))
def test_no_propagator_is_idle_while_a_video_waits(frames: list[int], propagators: int) -> None:
    plan = schedule(videos(*frames), workers(propagator=propagators), costs(propagator=1.0), at(1000))
    assert plan.seconds >= sum(frames) / propagators - 1e-6
    assert plan.seconds <= sum(frames) / propagators + max(frames, default=0) + 1e-6
    assert sum(v.end - v.start for v in plan.videos) == pytest.approx(sum(frames))


def test_a_plan_changes_nothing_and_learns_from_the_run(
    tmp_path: Path, clip: Callable[[Path, int], Path], tiny_settings: tuple[str, ...]
) -> None:
    config, out, rule = settle(load_config(tiny_settings)), tmp_path / "out", PromptRule(clicks=("cat@0:12,18",))
    clip(tmp_path / "a.mp4", 0)
    (tmp_path / "bad.mp4").write_text("no video")
    before = plan_corpus(read_corpus(f"{tmp_path}/*.mp4", rule), str(out), config, "inline")
    assert not out.exists()
    assert {v.name: (v.state, v.frames_left, v.propagator) for v in before.videos} == {
        "a": ("new", 48, 0),
        "bad": ("failed", 0, None),
    }
    assert "not measured" in before.costs.source
    assert "bad.mp4" in before.videos[1].reason
    run_corpus(read_corpus(f"{tmp_path}/a.mp4", rule), str(out), config, "inline")
    after = plan_corpus(read_corpus(f"{tmp_path}/a.mp4", rule), str(out), config, "inline")
    assert ([v.state for v in after.videos], after.seconds) == (["done"], 0)
    assert after.costs.source == f"measured by the last run in {out}"
    measured = json.loads((out / "run.json").read_text())["seconds_per_megapixel"]
    assert after.costs.seconds_per_megapixel[Role.PROPAGATOR] == measured["propagator"]
    other = plan_corpus(read_corpus(f"{tmp_path}/a.mp4", rule), str(out), load_config(), "inline")
    assert "not measured" in other.costs.source
