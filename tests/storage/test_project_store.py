"""The project as one object: what is committed, what a repeated or changed commit does, what a reader sees."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from storage.checkpoints import CheckpointStore
from storage.commits import CommitLog, labels_digest
from storage.location import Location
from storage.manifest import Manifest
from storage.masks import MaskStore
from storage.project_store import ProjectStore
from tam_dist.errors import ProjectError, ProjectExistsError, ProjectLockedError, StorageError
from tam_dist.types import Absent, ChunkResult, Prompt, TrackedObject

Make = Callable[..., ChunkResult]


@pytest.fixture
def store(project: Location, manifest: Manifest, pts: np.ndarray) -> ProjectStore:
    return ProjectStore.create(project, manifest, pts)


def same(store: ProjectStore, result: ChunkResult) -> bool:
    rows = slice(result.start, result.start + len(result.labels))
    return (
        np.array_equal(store.labels[rows], result.labels)
        and np.array_equal(store.quality[rows], result.quality)
        and np.array_equal(store.origin[rows], result.origin)
    )


def test_a_new_project_reads_as_untracked(store: ProjectStore, project: Location, manifest: Manifest, pts: np.ndarray) -> None:
    reader = ProjectStore.open(project, write=False)
    assert reader.manifest == manifest
    assert np.array_equal(reader.pts, pts)
    assert reader.committed == frozenset()
    assert reader.next_chunk == 0
    assert reader.labels.shape == (18, 24, 32)
    assert reader.labels.dtype == np.uint8
    assert not reader.labels[:].any()
    assert np.isnan(reader.quality[:]).all()
    assert not reader.origin[:].any()
    assert reader.checkpoint(5) is None
    status = reader.status()
    assert (status.state, status.frames_done, status.frames_total) == ("new", 0, 18)
    assert status.writer is not None


def test_committed_chunks_read_back_in_another_store(store: ProjectStore, project: Location, chunk_result: Make) -> None:
    results = [chunk_result(i) for i in range(5)]
    records = [store.commit(r) for r in results]
    reader = ProjectStore.open(project, write=False)
    assert reader.committed == frozenset(range(5))
    assert reader.next_chunk == 5
    for result, record in zip(results, records, strict=True):
        assert same(reader, result)
        assert reader.record(result.index) == record
        assert (record.revision, record.digest) == (1, labels_digest(result.labels))
        assert reader.is_intact(result.index)
    whole = np.concatenate([r.labels for r in results])
    assert np.array_equal(reader.labels[[17, 0, 5, 6]], whole[[17, 0, 5, 6]])
    assert np.array_equal(reader.labels[-1], whole[-1])
    assert np.array_equal(reader.labels[1:14:5], whole[1:14:5])
    assert np.array_equal(reader.mask(2, range(3, 9)), whole[3:9] == 2)
    assert reader.mask(2, range(0)).shape == (0, 24, 32)
    with pytest.raises(IndexError):
        reader.labels[18]


def test_next_chunk_is_the_first_gap(store: ProjectStore, chunk_result: Make) -> None:
    for i in (0, 2, 1, 4):
        store.commit(chunk_result(i))
    assert store.next_chunk == 3


def test_the_same_commit_again_changes_nothing(store: ProjectStore, chunk_result: Make) -> None:
    first = store.commit(chunk_result(1, prompts=("u",)), b"state")
    assert store.commit(chunk_result(1, prompts=("u",)), b"state") == first
    assert store.commit(chunk_result(1, prompts=("u",))) == first  # a replay that owed no state
    assert store.checkpoint(2) == (1, b"state")


def test_other_masks_raise_the_revision(store: ProjectStore, project: Location, chunk_result: Make) -> None:
    store.commit(chunk_result(0))
    record = store.commit(chunk_result(0, seed=1))
    assert record.revision == 2
    assert store.committed == {0}
    reader = ProjectStore.open(project, write=False)
    assert same(reader, chunk_result(0, seed=1))
    assert reader.is_intact(0)
    assert store.commit(chunk_result(0, seed=1)) == record


def test_other_prompts_with_the_same_masks_are_recorded_without_a_new_revision(store: ProjectStore, chunk_result: Make) -> None:
    store.commit(chunk_result(0), b"old")
    record = store.commit(replace(chunk_result(0), prompts=("fix",), quality=np.ones((4, 3), np.float32)))
    assert (record.revision, record.prompts, record.checkpoint) == (1, ("fix",), None)
    assert store.quality[0].tolist() == [1, 1, 1]
    assert store.checkpoint(1) is None  # the old state knows nothing of the prompt


def test_checkpoints_fall_back_to_the_next_older_usable_one(store: ProjectStore, project: Location, chunk_result: Make) -> None:
    for i in range(5):
        store.commit(chunk_result(i), f"state {i}".encode() if i != 2 else None)
    assert store.checkpoint(3) == (1, b"state 1")
    assert store.checkpoint(5) == (4, b"state 4")
    (project / "checkpoints" / "00000004.safetensors").write(b"stat")
    assert store.checkpoint(5) == (3, b"state 3")
    store.commit(chunk_result(3, seed=1))  # rewritten without a state: the old one is outdated
    assert store.checkpoint(5) == (1, b"state 1")
    store.discard_checkpoints(0)
    assert store.checkpoint(5) is None


def test_a_state_can_be_attached_to_a_committed_chunk(store: ProjectStore, project: Location, chunk_result: Make) -> None:
    record = store.commit(chunk_result(0))
    store.attach_checkpoint(0, b"state")
    assert store.checkpoint(1) == (0, b"state")
    found = store.record(0)
    assert found is not None
    assert (found.revision, found.digest) == (1, record.digest)
    assert store.commit(chunk_result(0)) == found
    with pytest.raises(ValueError, match="chunk 1 is not committed"):
        store.attach_checkpoint(1, b"state")
    store._checkpoints.write(1, b"killed before the record")
    store.commit(chunk_result(1))
    store.close()
    with ProjectStore.open(project, write=True) as again:
        assert (project / "checkpoints").children() == ["00000000.safetensors"]
        assert again.checkpoint(2) == (0, b"state")


def test_discard_removes_the_project_alone(store: ProjectStore, project: Location, manifest: Manifest, pts: np.ndarray) -> None:
    store.append_prompt(Prompt("u1", 1.0, "ann", 3, "cat", Absent(3, 5)))
    store.set_state("done")
    (project / "overlay.mp4").write(b"mine")
    with pytest.raises(ProjectLockedError):
        ProjectStore.discard(project)
    assert ProjectStore.exists(project)
    store.close()
    for _ in range(2):
        ProjectStore.discard(project)
    assert [name for name in project.children() if name != ".lock"] == ["overlay.mp4"]
    with ProjectStore.create(project, manifest, pts) as again:
        assert again.prompts() == ()
        assert again.status().state == "new"


def test_a_lost_or_damaged_shard_is_noticed(store: ProjectStore, project: Location, chunk_result: Make) -> None:
    store.commit(chunk_result(0))
    store.commit(chunk_result(1))
    shard = project / "masks.zarr" / "labels" / "c.0.0.0"
    content = shard.read()
    assert content is not None
    shard.write(content[: len(content) // 2])
    assert not store.is_intact(0)
    shard.remove()
    assert not store.is_intact(0)
    assert store.is_intact(1)
    assert not store.is_intact(2)


def test_objects_can_be_added(store: ProjectStore, project: Location, chunk_result: Make) -> None:
    reader = ProjectStore.open(project, write=False)
    store.commit(chunk_result(0))
    store.add_objects([TrackedObject(4, "late", (1, 2, 3))])
    store.commit(chunk_result(1, objects=4))
    store.commit(chunk_result(2))  # a tracker that has not heard of the new object yet
    for seen in (store, reader, ProjectStore.open(project, write=False)):
        assert [o.name for o in seen.manifest.objects][-1] == "late"
        assert seen.quality.shape == (18, 4)
        assert np.isnan(seen.quality[:4][:, 3]).all()
        assert np.array_equal(seen.quality[4:8], chunk_result(1, objects=4).quality)
        assert np.isnan(seen.quality[8][3])
        assert seen.origin[8][3] == 0
        assert all(seen.is_intact(i) for i in range(3))
    with pytest.raises(ValueError, match="count from 1"):
        store.add_objects([TrackedObject(9, "gap", (1, 2, 3))])


def test_one_byte_labels_refuse_a_255th_object(store: ProjectStore) -> None:
    with pytest.raises(ProjectError, match="room for 254"):
        store.add_objects([TrackedObject(i, str(i), (0, 0, 0)) for i in range(4, 256)])
    assert len(store.manifest.objects) == 3


def test_more_than_254_objects_get_two_byte_labels(
    project: Location, manifest: Manifest, pts: np.ndarray, chunk_result: Make
) -> None:
    many = replace(manifest, objects=tuple(TrackedObject(i + 1, str(i), (0, 0, 0)) for i in range(300)))
    with ProjectStore.create(project, many, pts) as store:
        result = chunk_result(0, objects=3)
        result = replace(result, labels=result.labels.astype(np.uint16) * 100)
        store.commit(result)
        assert store.labels.dtype == np.uint16
        assert np.array_equal(store.labels[:4], result.labels)
        assert store.quality.shape == (18, 300)
        assert store.is_intact(0)


@pytest.mark.parametrize(
    "change",
    [
        {"start": 1},
        {"index": 5, "start": 20},
        {"labels": np.zeros((3, 24, 32), np.uint8)},
        {"labels": np.full((4, 24, 32), 4, np.uint8)},
        {"quality": np.zeros((4, 4), np.float32)},
        {"origin": np.zeros((3, 3), np.uint8)},
    ],
)
def test_a_result_off_the_grid_is_a_fault_of_the_caller(
    store: ProjectStore, chunk_result: Make, change: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match=r"chunk|quality"):
        store.commit(replace(chunk_result(0), **change))
    assert store.committed == frozenset()


def test_prompts_need_no_lock_and_are_seen_at_once(store: ProjectStore, project: Location) -> None:
    prompt = Prompt("u1", 1.0, "ann", 3, "cat", Absent(3, 5))
    other = ProjectStore.open(project, write=False)
    other.append_prompt(prompt)
    other.append_prompts([prompt, replace(prompt, uuid="u2")])
    assert [p.uuid for p in store.prompts()] == ["u1", "u2"]
    undo = store.undo_prompt("u1", author="bob")
    assert [p.undone_by for p in other.prompts()] == [undo.uuid, None]


def test_states(store: ProjectStore, project: Location, chunk_result: Make) -> None:
    reader = ProjectStore.open(project, write=False)
    store.commit(chunk_result(4))
    store.set_state("running")
    assert (reader.status().state, reader.status().frames_done) == ("running", 2)
    store.close()
    assert reader.status().state == "interrupted"
    with ProjectStore.open(project, write=True) as again:
        again.set_state("failed", "The video ends at frame 7.")
    status = reader.status()
    assert (status.state, status.reason, status.writer) == ("failed", "The video ends at frame 7.", None)
    assert status.changed is not None


def test_a_reader_cannot_write(store: ProjectStore, project: Location, chunk_result: Make) -> None:
    reader = ProjectStore.open(project, write=False)
    for attempt in (lambda: reader.commit(chunk_result(0)), lambda: reader.set_state("done"), lambda: reader.add_objects([])):
        with pytest.raises(ProjectError, match="opened for reading"):
            attempt()


def test_one_writer_at_a_time(store: ProjectStore, project: Location, manifest: Manifest, pts: np.ndarray) -> None:
    with pytest.raises(ProjectLockedError, match="written by process"):
        ProjectStore.open(project, write=True)
    with pytest.raises(ProjectLockedError, match="written by process"):
        ProjectStore.create(project, manifest, pts)
    store.close()
    ProjectStore.open(project, write=True).close()


def test_an_existing_project_is_not_made_anew(
    store: ProjectStore, project: Location, manifest: Manifest, pts: np.ndarray, chunk_result: Make
) -> None:
    store.commit(chunk_result(0))
    store.close()
    with pytest.raises(ProjectExistsError, match="project already"):
        ProjectStore.create(project, manifest, pts)
    assert same(ProjectStore.open(project, write=False), chunk_result(0))
    assert ProjectStore.exists(project)


def test_the_remains_of_a_project_are_not_taken_over(
    store: ProjectStore, project: Location, manifest: Manifest, pts: np.ndarray, chunk_result: Make
) -> None:
    store.commit(chunk_result(0))
    store.close()
    (project / "project.json").remove()
    with pytest.raises(ProjectExistsError, match=r"has commits of a project but no project\.json: restore"):
        ProjectStore.create(project, manifest, pts)


def test_what_a_killed_create_left_is_replaced(
    project: Location, manifest: Manifest, pts: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise CrashError

    with monkeypatch.context() as patch:
        patch.setattr(Manifest, "write", crash)
        with pytest.raises(CrashError):
            ProjectStore.create(project, manifest, pts)
    assert not ProjectStore.exists(project)
    with ProjectStore.create(project, replace(manifest, chunk_size=8), pts) as store:
        assert store.labels.shape == (18, 24, 32)


def test_a_store_dropped_without_close_lets_go(tmp_path: Path, manifest: Manifest, pts: np.ndarray) -> None:
    store = ProjectStore.create(tmp_path / "project", manifest, pts)
    del store
    gc.collect()
    ProjectStore.open(tmp_path / "project", write=True).close()


def test_no_project_no_lock_file(project: Location) -> None:
    for write in (False, True):
        with pytest.raises(ProjectError, match=r"not a tam-dist project"):
            ProjectStore.open(project, write=write)
    assert project.children() == []


class CrashError(BaseException):
    """Stands in for SIGKILL at a chosen point."""


POINTS = [
    (CommitLog, "begin_rewrite"),
    (CheckpointStore, "write"),
    (MaskStore, "write"),
    (CommitLog, "put"),
    (CommitLog, "end_rewrite"),
    (CheckpointStore, "thin"),
]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("point", POINTS, ids=lambda point: point[1])
@pytest.mark.parametrize("rewrite", [False, True])
def test_a_crash_at_any_point_leaves_a_chunk_committed_or_not(
    point: tuple[type, str],
    after: bool,
    rewrite: bool,
    store: ProjectStore,
    project: Location,
    chunk_result: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store.commit(chunk_result(0), b"zero")
    if rewrite:
        store.commit(chunk_result(1), b"old")
    with monkeypatch.context() as patch:
        cls, method = point
        original = getattr(cls, method)

        def crash(*args: object, **named: object) -> None:
            if after:
                original(*args, **named)
            raise CrashError

        patch.setattr(cls, method, crash)
        try:
            store.commit(chunk_result(1, seed=1), b"new")
            crashed = False
        except CrashError:
            crashed = True
    assert crashed or (not rewrite and "rewrite" in method)
    store.close()

    with ProjectStore.open(project, write=True) as again:
        assert 0 in again.committed
        if 1 in again.committed:
            assert again.is_intact(1)
            assert same(again, chunk_result(1, seed=1)) or (rewrite and same(again, chunk_result(1)))
            assert again.checkpoint(2) in {(1, b"new"), (1, b"old"), (0, b"zero")}
        else:
            assert again.checkpoint(2) == (0, b"zero")
            if not rewrite:
                assert not again.labels[4:8].any()
                assert (
                    project.children().count("checkpoints") == 0
                    or "00000001.safetensors" not in (project / "checkpoints").children()
                )
        record = again.commit(chunk_result(1, seed=1), b"new")
        assert record.revision == (2 if rewrite else 1)
        assert again.committed == {0, 1}
        assert same(again, chunk_result(1, seed=1))
        assert again.checkpoint(2) == (1, b"new")
        assert (project / "commits").children() == ["00000000.json", "00000001.json"]
        assert (project / "masks.zarr" / "labels").children() == ["c.0.0.0", "c.1.0.0", "zarr.json"]


def test_a_failed_write_leaves_the_chunk_out_and_can_be_repeated(
    store: ProjectStore, chunk_result: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise StorageError("Writing x failed, the disk is full: free space and run tam-dist resume.")

    with monkeypatch.context() as patch:
        patch.setattr("storage.commits.CommitLog.put", fail)
        with pytest.raises(StorageError):
            store.commit(chunk_result(0))
        assert store.committed == frozenset()
    assert store.commit(chunk_result(0)).revision == 1
