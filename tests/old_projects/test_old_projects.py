"""Projects of earlier versions open, go on to the same masks, and are read for ever.

``v1`` is of version 0.1.0, stopped after 24 of 30 frames: clicks, a box, a mask and an absence, no basis in its commit records.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import tam_dist
from storage.project_store import ProjectStore
from tam_dist.config import flat
from tam_dist.config_rules import BEFORE
from tam_dist.coordination.events import ChunkCommitted, Event, VideoStarted
from tam_dist.due import due_work
from tam_dist.errors import ProjectError, ProjectExistsError
from tam_dist.models.checkpoints import sha256
from tests.old_projects.weights import write_weights

V1 = Path(__file__).parent / "v1"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    write_weights(folder)
    return folder


@pytest.fixture
def old(tmp_path: Path, weights: Path) -> Path:
    """A copy whose weights lie in ``weights``; their files' digests depend on the library that wrote them."""
    out = tmp_path / "project"
    shutil.copytree(V1 / "project", out)
    text = (out / "project.json").read_text(encoding="utf-8")
    manifest = json.loads(text.replace("VIDEO", str(V1 / "video")).replace("WEIGHTS", str(weights)))
    for role in ("xmem", "sam"):
        manifest["models"][role]["sha256"] = sha256(weights / f"{role}.safetensors")
    (out / "project.json").write_text(json.dumps(manifest), encoding="utf-8")
    return out


def test_an_old_project_is_read(old: Path) -> None:
    project = tam_dist.Project.open(old)
    expected = np.load(V1 / "expected.npz")
    assert [o.name for o in project.objects] == ["cat", "dog"]
    assert [p.data.kind for p in project.prompts] == ["mask", "box", "clicks", "absent"]
    assert (project.status.state, project.status.frames_done) == ("interrupted", 24)
    assert np.array_equal(project.labels[:24], expected["labels"][:24])
    assert np.array_equal(project.quality[:24], expected["quality"][:24], equal_nan=True)
    assert project.config.propagation.mem_every == 3
    assert project.config.tracking.keep_bytes == -1


def test_what_an_old_project_has_is_up_to_date(old: Path) -> None:
    work = due_work(ProjectStore.open(old, write=False))
    assert (work.stale, work.missing) == (frozenset(), frozenset({6, 7}))


def test_an_old_project_goes_on_where_it_was(old: Path) -> None:
    events: list[Event] = []
    project = tam_dist.resume(old, listener=events.append)
    assert [e.next_chunk for e in events if isinstance(e, VideoStarted)] == [6]
    assert [e.chunk for e in events if isinstance(e, ChunkCommitted)] == [6, 7]
    assert project.status.state == "done"
    expected = np.load(V1 / "expected.npz")["labels"]
    machine = json.loads((V1 / "machine.json").read_text(encoding="utf-8"))
    if machine == {"torch": torch.__version__, "cpu": torch.backends.cpu.get_cpu_capability()}:
        assert np.array_equal(project.labels[:], expected)
    else:  # another build rounds otherwise, and a network of random weights has masks without a firm border
        assert (project.labels[:] == expected).mean() > 0.9
    again: list[Event] = []
    tam_dist.resume(old, listener=again.append)
    assert not [e for e in again if isinstance(e, ChunkCommitted)]


def test_the_same_command_goes_on_with_an_old_project(old: Path) -> None:
    """Settings have come since, with defaults that change masks."""
    before = tam_dist.Project.open(old)
    settings = [f"{n}={v}" for n, v in flat(before.config).items() if n not in BEFORE and not n.endswith("preset")]
    asked = list(before.prompts)
    project = tam_dist.track(before.video.uri, asked, out=old, settings=settings)
    assert project.status.state == "done"
    assert project.config.refinement.mode == "off"
    with pytest.raises(ProjectExistsError, match=r"refinement\.mode \(off, now deferred\)"):
        tam_dist.track(before.video.uri, asked, out=old, settings=[*settings, "refinement.mode=deferred"])


def test_a_correction_makes_what_follows_due(old: Path) -> None:
    store = ProjectStore.open(old, write=False)
    store.append_prompt(tam_dist.click("cat", 20, 15, frame=13))
    work = due_work(store)
    assert (work.stale, work.missing) == (frozenset({3, 4, 5}), frozenset({6, 7}))


def test_a_checkpoint_of_another_version_is_passed_over(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = tam_dist.Project.open(old).labels[:24]
    monkeypatch.setattr("tam_dist.tracking.snapshot.READABLE_VERSIONS", (99,))
    events: list[Event] = []
    project = tam_dist.resume(old, listener=events.append)
    assert [e.next_chunk for e in events if isinstance(e, VideoStarted)] == [0]
    assert project.status.state == "done"
    assert project.labels[:24].shape == expected.shape


def test_other_weights_are_refused(old: Path, weights: Path, tmp_path: Path) -> None:
    other = tmp_path / "xmem.safetensors"
    shutil.copy(weights / "sam.safetensors", other)
    with pytest.raises(ProjectError, match=r"was made with other xmem weights than .*models\.xmem=FILE"):
        tam_dist.resume(old, settings=[f"models.xmem={other}"])
    moved = tmp_path / "moved.safetensors"
    shutil.copy(weights / "xmem.safetensors", moved)
    assert tam_dist.resume(old, settings=[f"models.xmem={moved}"]).status.state == "done"


def test_a_moved_video_is_found_again(old: Path, tmp_path: Path) -> None:
    manifest = json.loads((old / "project.json").read_text(encoding="utf-8"))
    manifest["source"]["uri"] = str(tmp_path / "gone")
    (old / "project.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(ProjectError, match=r"gone, the video of .*, is gone: say where it lies now with --video"):
        tam_dist.resume(old)
    project = tam_dist.resume(old, video=V1 / "video")
    assert (project.status.state, project.video.uri) == ("done", str(V1 / "video"))
