"""The contract: every bit that a run decides is the same without Ray, and with it for any number of actors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from actors.driver import run_on_ray
from tam_dist.config import Config
from tam_dist.coordination.events import Event, SegmentationAsked
from tests.actors.corpus import Clip, fingerprints, projects

Fingerprints = dict[str, dict[str, str]]


@pytest.mark.parametrize(("propagators", "sessions"), [(1, 1), (1, 3), (2, 2), (4, 2)])
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
