"""The contract: the tracker is led to the frame with the same bits, and the picture shows what it knew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tam_dist
from storage.project_store import ProjectStore
from tam_dist.due import due_work
from tam_dist.errors import PromptError
from tam_dist.inspection.explain import explain_frame, write_explanation
from tests.steered import correction, steered
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
    prompts = [tam_dist.mask("cat", square(4, 10)), tam_dist.mask("dog", square(30, 20), frame=3)]
    given = [correction(tam_dist.mask("cat", square(24, 20), frame=43))]
    settings = [*tiny_settings, "tracking.segments=3", "tracking.checkpoint_every=100"]
    project = steered(tiny_video, prompts, given, tmp_path / "p", settings, every=2)
    wanted = due_work(ProjectStore.open(project.location, write=False)).asked
    (segment,) = (p for p in wanted.passes if wanted.spec_of(p).lessons_of(p))
    learnt = min(wanted.spec_of(segment).lessons_of(segment))
    assert segment.chunks.start < learnt
    explained_as_tracked(project, learnt * wanted.chunk_size + 4)


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
