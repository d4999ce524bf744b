"""What was lost, garbled or corrected is due again, and tracked to the masks of an undisturbed run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tam_dist
from storage.project_store import ProjectStore
from tam_dist.cleaning import clean
from tam_dist.config import load_config
from tam_dist.coordination.events import ChunkCommitted, Event
from tam_dist.due import due_work
from tam_dist.errors import ConfigError, ProjectError, ProjectExistsError, SchemaError
from tam_dist.integrity import verify
from tam_dist.monitoring.status import look
from tam_dist.preparation import settle
from tests.tiny import moving_square, square, write_frames

Settings = tuple[str, ...]


def prompts() -> list[tam_dist.api.Prompt]:
    return [tam_dist.mask("cat", square(8, 10)), tam_dist.click("dog", 40, 30, frame=3)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_video: Path, tiny_settings: Settings) -> Path:
    out = tmp_path_factory.mktemp("finished") / "p"
    tam_dist.track(tiny_video, prompts(), out=out, settings=tiny_settings)
    return out


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "p"))


def tracked_again(project: Path, **options: object) -> list[int]:
    events: list[Event] = []
    tam_dist.resume(project, listener=events.append, **options)  # type: ignore[arg-type]
    return [e.chunk for e in events if isinstance(e, ChunkCommitted) and e.new]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


DAMAGE: dict[str, Callable[[Path], None]] = {
    "a lost shard": lambda p: (p / "masks.zarr/labels/c.3.0.0").unlink(),
    "a cut shard": lambda p: cut(p / "masks.zarr/labels/c.3.0.0"),
    "another chunk's shard": lambda p: shutil.copy(p / "masks.zarr/labels/c.1.0.0", p / "masks.zarr/labels/c.3.0.0"),
    "lost scores": lambda p: (p / "masks.zarr/quality/c.3.0").unlink(),
    "a cut record": lambda p: cut(p / "commits/00000003.json"),
    "a lost record": lambda p: (p / "commits/00000003.json").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_what_is_damaged_is_reported_and_tracked_again(project: Path, finished: Path, damage: Callable[[Path], None]) -> None:
    assert verify(str(project)).done
    damage(project)
    verdict = verify(str(project))
    assert (*verdict.damaged, *verdict.missing) == (3,)
    assert not verdict.done
    assert tracked_again(project) == [3]
    assert verify(str(project)).done
    assert np.array_equal(tam_dist.Project.open(project).labels[:], tam_dist.Project.open(finished).labels[:])
    assert tracked_again(project) == []


def test_a_correction_makes_stale_what_follows_and_its_undoing_nothing(
    tiny_video: Path, tiny_settings: Settings, tmp_path: Path
) -> None:
    """Where marks are not known ahead, so that it comes to the same as if it had been given at once."""
    project, settings = tmp_path / "p", (*tiny_settings, "tracking.known_ahead=0")
    before = tam_dist.track(tiny_video, prompts(), out=project, settings=settings).labels[:]
    store = ProjectStore.open(project, write=False)
    correction = tam_dist.mask("cat", square(20, 10), frame=20)
    store.append_prompt(correction)
    assert due_work(store).stale == frozenset({2, 3, 4, 5})
    assert tracked_again(project) == [2, 3, 4, 5]
    whole = tam_dist.track(tiny_video, [*prompts(), correction], out=tmp_path / "whole", settings=settings)
    assert np.array_equal(tam_dist.Project.open(project).labels[:], whole.labels[:])
    store.undo_prompt(correction.uuid, author="ann")
    assert tracked_again(project) == [2, 3, 4, 5]
    assert np.array_equal(tam_dist.Project.open(project).labels[:], before)
    assert ProjectStore.open(project, write=False).record(0).revision == 1  # type: ignore[union-attr]


def test_what_a_person_corrects_makes_stale_what_follows_with_marks_known_ahead_too(project: Path) -> None:
    store = ProjectStore.open(project, write=False)
    assert tam_dist.Project.open(project).config.tracking.known_ahead
    correction = replace(tam_dist.mask("cat", square(20, 10), frame=20), purpose="correction")
    store.append_prompt(correction)
    assert due_work(store).stale == frozenset({2, 3, 4, 5})


def test_a_log_that_lost_a_prompt_is_refused(project: Path, tiny_video: Path, tiny_settings: Settings) -> None:
    log = project / "prompts.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole[:-20])
    with pytest.raises(SchemaError, match="has 0 of the 1 prompts that 'dog' was given first: repeat the command"):
        tam_dist.resume(project)
    again = tam_dist.track(tiny_video, prompts(), out=project, settings=tiny_settings)
    assert [p.object_name for p in again.prompts] == ["cat", "dog"]


def test_a_correction_that_the_log_lost_is_refused(project: Path) -> None:
    ProjectStore.open(project, write=False).append_prompt(tam_dist.mask("cat", square(20, 10), frame=20))
    tam_dist.resume(project)
    log = project / "prompts.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:2]))
    with pytest.raises(SchemaError, match="lacks a prompt that the masks of chunk 2 were made from"):
        tam_dist.resume(project)


@pytest.mark.parametrize(
    "setting", ["propagation.short_side=300", "models.preset=official", "runtime.threads=3", "tracking.chunk_size=4"]
)
def test_settings_that_would_change_the_masks_are_refused(project: Path, setting: str) -> None:
    with pytest.raises(ConfigError, match=f"was made with {setting.partition('=')[0]}=.* would give other masks"):
        tam_dist.resume(project, settings=[setting])


def test_settings_that_change_nothing_are_taken(project: Path) -> None:
    tam_dist.resume(project, settings=["credits.writes=1", "propagation.mem_every=3", "runtime.device=cpu"])


def test_a_repeated_command_uses_the_stored_threads(project: Path, tiny_settings: Settings) -> None:
    unset = load_config([*tiny_settings, "runtime.threads=0"])
    assert settle(unset, str(project)).runtime.threads == 1
    assert settle(unset, str(project.parent)).runtime.threads == 1
    assert settle(load_config([*tiny_settings, "runtime.threads=5"]), str(project)).runtime.threads == 5


def test_a_repeated_command_uses_the_stored_precision(project: Path, tiny_settings: Settings) -> None:
    unset = load_config([*tiny_settings, "runtime.precision=auto", "runtime.encode_ahead=auto"])
    stored = tam_dist.Project.open(project).config.runtime
    assert (stored.precision, stored.encode_ahead) == ("fp32", "on")
    assert settle(unset, str(project)).runtime == stored
    wish = settle(load_config([*tiny_settings, "runtime.precision=bf16", "runtime.encode_ahead=off"]), str(project))
    assert (wish.runtime.precision, wish.runtime.encode_ahead) == ("bf16", "off")


def test_threads_are_shared_out_by_the_size_of_the_weights(tiny_settings: Settings, tmp_path: Path) -> None:
    large = tmp_path / "xmem.pth"
    with large.open("wb") as file:
        file.truncate(200 << 20)
    assert settle(load_config(tiny_settings)).runtime.encode_ahead == "on"
    assert settle(load_config([*tiny_settings, f"models.xmem={large}"])).runtime.encode_ahead == "off"
    assert settle(load_config([*tiny_settings, f"models.xmem={tmp_path / 'none.pth'}"])).runtime.encode_ahead == "on"


def test_a_copied_video_is_the_same_and_another_is_not(project: Path, tiny_video: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_video, tmp_path / "elsewhere"))
    tam_dist.resume(project, video=copy)
    assert tam_dist.Project.open(project).video.uri == str(copy)
    other = write_frames(tmp_path / "other", moving_square(43, seed=4))
    with pytest.raises(ProjectError, match="is not the video that"):
        tam_dist.resume(project, video=other)


def test_the_videos_address_is_absolute(
    tiny_video: Path, tiny_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_video.parent)
    done = tam_dist.track(tiny_video.name, prompts(), out=tmp_path / "p", settings=tiny_settings)
    assert done.video.uri == str(tiny_video)


def test_a_finished_project_keeps_a_budget_of_checkpoints(
    tiny_video: Path, tiny_settings: Settings, tmp_path: Path, project: Path
) -> None:
    assert list((project / "checkpoints").iterdir())
    freed = clean(str(tmp_path))
    assert [(c.project, c.freed > 0, c.left_alone) for c in freed] == [(str(project), True, None)]
    assert not list((project / "checkpoints").iterdir())
    tam_dist.track(tiny_video, prompts(), out=tmp_path / "q", settings=[*tiny_settings, "tracking.keep_bytes=0"])
    assert not list((tmp_path / "q" / "checkpoints").iterdir())
    with pytest.raises(ProjectError, match="neither a project nor a folder of projects"):
        clean(str(tiny_video))


def test_a_project_that_needs_its_checkpoints_is_not_cleaned(project: Path) -> None:
    with ProjectStore.open(project, write=True) as store:
        store.set_state("running")
    assert "interrupted and needs them" in str(clean(str(project))[0].left_alone)
    assert list((project / "checkpoints").iterdir())


def test_status_of_a_project_without_its_manifest(project: Path) -> None:
    (project / "project.json").unlink()
    with pytest.raises(ProjectError, match=r"has the files of a project but no project\.json"):
        look(str(project))


def test_the_folder_of_a_run_is_no_place_for_a_project(tiny_video: Path, tiny_settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"videos": []}), encoding="utf-8")
    with pytest.raises(ProjectExistsError, match="is the folder of a run"):
        tam_dist.track(tiny_video, prompts(), out=tmp_path, settings=tiny_settings)
    assert json.loads((tmp_path / "run.json").read_text(encoding="utf-8")) == {"videos": []}


def test_a_killed_start_with_force_can_be_repeated(tiny_video: Path, tiny_settings: Settings, tmp_path: Path) -> None:
    """It dies between the old project's end and the new one's beginning; the old one's report is still there."""
    out = tmp_path / "p"
    tam_dist.track(tiny_video, prompts(), out=out, settings=tiny_settings)
    ProjectStore.discard(out)
    assert (out / "run.json").exists()
    assert tam_dist.track(tiny_video, prompts(), out=out, settings=tiny_settings).status.state == "done"
