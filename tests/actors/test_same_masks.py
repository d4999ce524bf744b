"""The contract: every bit that a run decides is the same without Ray, and with it for any number of actors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import ray

from actors.coordinator import find_coordinator
from actors.driver import run_on_ray
from storage.project_store import ProjectStore
from tam_dist.config import Config
from tam_dist.coordination.calls import Role
from tam_dist.coordination.events import Event, SegmentationAsked, StagesMeasured
from tam_dist.due import due_work
from tam_dist.models.runtime import operator_threads
from tam_dist.running import run_inline
from tests.actors.corpus import CLIPS, Clip, fingerprints, projects
from tests.films import film
from tests.tiny import moving_square, write_frames

Fingerprints = dict[str, dict[str, str]]


@pytest.mark.parametrize(
    ("propagators", "sessions"),
    [
        pytest.param(1, 1, marks=pytest.mark.slow),
        pytest.param(1, 3, marks=pytest.mark.slow),
        pytest.param(2, 2, marks=pytest.mark.slow),
        (4, 2),
    ],
)
def test_labels_are_bit_identical_to_the_run_without_ray(
    propagators: int,
    sessions: int,
    namespace: str,
    videos: dict[Clip, Path],
    config: Config,
    undisturbed: Fingerprints,
    tmp_path: Path,
) -> None:
    shape = replace(
        config.cluster,
        preset="gpu8",
        propagators=propagators,
        gpus_per_propagator=1.0 if propagators > 2 else 0.5,
        sessions_per_propagator=sessions,
    )
    used = replace(config, cluster=shape)
    events: list[Event] = []
    for outcome in run_on_ray(projects(videos, tmp_path, used), used, namespace=namespace, listener=events.append):
        outcome.raise_failure()
    assert fingerprints(tmp_path) == undisturbed
    assert any(isinstance(e, SegmentationAsked) for e in events)
    stats = ray.get(find_coordinator(namespace).stats.remote())  # type: ignore[union-attr]
    with_torch = [found for worker, found in stats.items() if worker.role in (Role.PROPAGATOR, Role.REFINER)]
    assert len(with_torch) >= propagators + 1
    assert {found.threads for found in with_torch} == {operator_threads(config.runtime)} == {2}


def test_actors_calculate_in_bf16_as_the_run_without_ray_does(namespace: str, config: Config, tmp_path: Path) -> None:
    """Torch keeps the precision of a calculation for each thread. The other tests' is float32, as processors without
    bf16 are slow at it; so this is one clip."""
    clip = Clip("bf16", 12, 48, 64, "mask")
    videos = {clip: write_frames(tmp_path / "bf16", moving_square(clip.frames))}
    used = replace(config, runtime=replace(config.runtime, precision="bf16"))
    for outcome in run_inline(projects(videos, tmp_path / "inline", used), used):
        outcome.raise_failure()
    for outcome in run_on_ray(projects(videos, tmp_path / "ray", used), used, namespace=namespace):
        outcome.raise_failure()
    assert fingerprints(tmp_path / "ray") == fingerprints(tmp_path / "inline")
    for outcome in run_inline(projects(videos, tmp_path / "fp32", config), config):
        outcome.raise_failure()
    assert fingerprints(tmp_path / "fp32") != fingerprints(tmp_path / "inline")


def test_passes_that_run_at_once_give_the_bits_of_those_in_a_row(
    namespace: str, videos: dict[Clip, Path], config: Config, tmp_path: Path
) -> None:
    """Segments of one chunk, backward passes and references, two at a time on each of three propagators."""
    videos = {clip: videos[clip] for clip in CLIPS[:3]}  # one of each kind
    tracking = replace(config.tracking, segments="1", direction="both")
    alone = replace(config, tracking=tracking, cluster=replace(config.cluster, sessions_per_propagator=1))
    for outcome in run_inline(projects(videos, tmp_path / "inline", alone), alone):
        outcome.raise_failure()
    used = replace(alone, cluster=replace(config.cluster, propagators=3, sessions_per_propagator=2))
    for outcome in run_on_ray(projects(videos, tmp_path / "ray", used), used, namespace=namespace):
        outcome.raise_failure()
    assert fingerprints(tmp_path / "ray") == fingerprints(tmp_path / "inline")


def test_a_film_tracked_by_its_shots_has_the_same_masks(namespace: str, config: Config, tmp_path: Path) -> None:
    """Four shots, whose cuts two decoders look for, on three propagators; SAM is asked at each cut."""
    clip = Clip("film", 68, 48, 64, "mixed")
    videos = {clip: write_frames(tmp_path / "film", film([17, 33, 49], clip.frames))}
    used = replace(
        config,
        tracking=replace(config.tracking, segments="shots", direction="both"),
        refinement=replace(config.refinement, mode="on", at_cuts=True),
    )
    (alone,) = run_inline(projects(videos, tmp_path / "inline", used), used)
    alone.raise_failure()
    assert len(due_work(ProjectStore.open(alone.project, write=False)).asked.borders) == 4
    many = replace(used, cluster=replace(config.cluster, propagators=3))
    events: list[Event] = []
    for outcome in run_on_ray(projects(videos, tmp_path / "ray", many), many, namespace=namespace, listener=events.append):
        outcome.raise_failure()
    assert fingerprints(tmp_path / "ray") == fingerprints(tmp_path / "inline")
    stages = [event for event in events if isinstance(event, StagesMeasured)]
    used_of = {load.role: load.workers for load in stages[-1].loads}
    assert used_of[Role.PROPAGATOR] == 3
    assert used_of[Role.DECODER] == config.cluster.decoders
