"""The contract: the tracker is led to the frame with the same bits, and the picture shows what it knew."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tam_dist
from storage.project_store import ProjectStore
from tam_dist.due import due_work
from tam_dist.errors import PromptError
from tam_dist.inspection.explain import explain_frame, write_explanation
from tam_dist.types import Edition, Exemption
from tests.tiny import square


@pytest.fixture(scope="module")
def project(tiny_video: Path, tiny_settings: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> tam_dist.Project:
    prompts = [tam_dist.mask("cat", square(4, 10)), tam_dist.mask("dog", square(40, 24), frame=3)]
    return tam_dist.track(tiny_video, prompts, out=tmp_path_factory.mktemp("explained") / "p", settings=tiny_settings)


@pytest.mark.parametrize("number", [2, 19])
def test_what_is_explained_is_what_was_tracked(project: tam_dist.Project, number: int, tmp_path: Path) -> None:
    found = explain_frame(project.location, number)
    assert not found.asked
    assert {d.object_id for d in found.decisions} == ({1} if number < 3 else {1, 2})
    labels = project.labels[number]
    for decision in found.decisions:
        assert np.array_equal(decision.evidence.mask, labels == decision.object_id)
    file = write_explanation(found, project.objects, tmp_path / "why.png")
    with Image.open(file) as picture:
        assert picture.width > 1000


def test_a_segment_is_explained_from_the_references_that_it_was_tracked_from(
    tiny_video: Path, tiny_settings: tuple[str, ...], tmp_path: Path
) -> None:
    prompts = [tam_dist.mask("cat", square(4, 10)), tam_dist.click("dog", 30, 20, frame=40)]
    settings = [*tiny_settings, "tracking.segments=2"]
    project = tam_dist.track(tiny_video, prompts, out=tmp_path / "p", settings=settings)
    explained_as_tracked(project, 19)


def test_a_segment_is_explained_with_what_it_learnt_under_way(
    tiny_video: Path, tiny_settings: tuple[str, ...], tmp_path: Path
) -> None:
    """As a correction in the film's other segment would have it that comes while this one is in its first chunk."""
    prompts = [tam_dist.mask("cat", square(4, 10)), tam_dist.mask("dog", square(30, 20), frame=3)]
    settings = [*tiny_settings, "tracking.segments=3", "tracking.checkpoint_every=100"]
    where = tmp_path / "p"
    tam_dist.track(tiny_video, prompts, out=where, settings=settings)
    given = replace(tam_dist.mask("cat", square(24, 20), frame=43), purpose="correction", time=time.time())
    learnt = 1
    with ProjectStore.open(where, write=True) as store:
        store.append_prompt(given)
        exempt = Exemption((given.uuid,), 0, 3, learnt)
        store.append_edition(Edition(len(store.editions()) + 1, (given.uuid,), (exempt,), "corrected", time.time()))
    before = tam_dist.Project.open(where).quality[learnt * 8 + 4].copy()
    project = tam_dist.resume(where)
    wanted = due_work(ProjectStore.open(where, write=False)).asked
    assert list(wanted.spec_at(0).lessons_of(wanted.passes[0])) == [learnt]
    assert not np.array_equal(project.quality[learnt * 8 + 4], before)
    explained_as_tracked(project, learnt * 8 + 4)


def explained_as_tracked(project: tam_dist.Project, number: int) -> None:
    found = explain_frame(project.location, number)
    assert {d.object_id for d in found.decisions} == {1, 2}
    for decision in found.decisions:
        assert np.array_equal(decision.evidence.mask, project.labels[number] == decision.object_id)


def test_frames_that_cannot_be_explained_are_told(project: tam_dist.Project) -> None:
    with pytest.raises(PromptError, match="There is no frame 999"):
        explain_frame(project.location, 999)
    with pytest.raises(PromptError, match="Nothing is predicted in frame 0"):
        explain_frame(project.location, 0)
