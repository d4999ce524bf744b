"""Full and read-only disks, real ones where the process may mount, and simulated at the system call where it may not."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from storage.manifest import Manifest
from storage.project_store import ProjectStore
from tam_dist.errors import StorageError
from tam_dist.types import Absent, ChunkResult, Prompt

Make = Callable[..., ChunkResult]


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"needs the right to mount: {done.stderr.strip()}")


def fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        mount("-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk))
    except FileNotFoundError:
        pytest.skip("needs mount(8)")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_real_full_disk(small_disk: Path, manifest: Manifest, pts: np.ndarray, chunk_result: Make) -> None:
    project = small_disk / "project"
    with ProjectStore.create(project, manifest, pts) as store:
        store.commit(chunk_result(0), b"state")
        ballast = small_disk / "ballast"
        fill(ballast)
        with pytest.raises(
            StorageError, match=rf"^Writing {project}\S* failed, the disk is full: free space and run tam-dist resume\.$"
        ):
            store.commit(chunk_result(1), b"state")
        assert store.committed == {0}
        with pytest.raises(StorageError, match=r"prompts\.jsonl failed, the disk is full"):
            store.append_prompt(Prompt("u", 0, "a" * 9000, 0, "cat", Absent(0, 1)))
        assert store.is_intact(0)
        assert not list(project.rglob("*.partial"))
    ballast.unlink()
    with ProjectStore.open(project, write=True) as store:
        assert store.committed == {0}
        store.commit(chunk_result(1), b"state")
        store.append_prompt(Prompt("v", 0, "a", 0, "cat", Absent(0, 1)))
        assert [p.uuid for p in store.prompts()] == ["v"]
        assert store.is_intact(1)
        assert store.checkpoint(2) == (1, b"state")


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("at", range(1, 8))
def test_a_disk_that_fills_up_at_any_write(
    call: str, at: int, tmp_path: Path, manifest: Manifest, pts: np.ndarray, chunk_result: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    store = ProjectStore.create(project, manifest, pts)
    store.commit(chunk_result(0))
    real, calls = getattr(os, call), 0

    def fail(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls >= at:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        try:
            store.commit(chunk_result(1), b"state")
        except StorageError as error:
            assert "the disk is full" in str(error)  # noqa: PT017
            assert 1 not in store.committed or calls > 5
    assert not list(project.rglob("*.partial"))
    store.close()
    with ProjectStore.open(project, write=True) as again:
        assert all(again.is_intact(i) for i in again.committed)
        again.commit(chunk_result(1), b"state")
        assert again.is_intact(1)
        assert again.checkpoint(2) == (1, b"state")


def test_a_real_read_only_disk(tmp_path: Path, manifest: Manifest, pts: np.ndarray, chunk_result: Make) -> None:
    project = tmp_path / "project"
    with ProjectStore.create(project, manifest, pts) as store:
        store.commit(chunk_result(0))
    try:
        mount("--bind", str(project), str(project))
    except FileNotFoundError:
        pytest.skip("needs mount(8)")
    try:
        mount("-o", "remount,bind,ro", str(project))
        reader = ProjectStore.open(project, write=False)
        assert np.array_equal(reader.labels[:4], chunk_result(0).labels)
        assert reader.status().frames_done == 4
        for attempt in (
            lambda: ProjectStore.open(project, write=True),
            lambda: reader.append_prompt(Prompt("u", 0, "a", 0, "cat", Absent(0, 1))),
            lambda: ProjectStore.create(project / "below", manifest, pts),
        ):
            with pytest.raises(StorageError, match=rf"{project}.* failed, the file system is read-only: choose a folder"):
                attempt()
    finally:
        subprocess.run(["umount", str(project)], check=True)


def test_a_read_only_disk_as_the_system_call_says_it(
    tmp_path: Path, manifest: Manifest, pts: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(StorageError, match=r"\.lock failed, the file system is read-only"):
            ProjectStore.create(tmp_path / "project", manifest, pts)
    assert not ProjectStore.exists(tmp_path / "project")


def test_a_file_where_the_project_should_be(tmp_path: Path, manifest: Manifest, pts: np.ndarray) -> None:
    (tmp_path / "project").write_text("")
    with pytest.raises(StorageError, match=r"project\S* failed, a file is in the way"):
        ProjectStore.create(tmp_path / "project", manifest, pts)
    with pytest.raises(StorageError, match=r"project\S* failed, a part of the path is a file"):
        ProjectStore.open(tmp_path / "project", write=False)
