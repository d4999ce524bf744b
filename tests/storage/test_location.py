"""One API over a disk and an object store: whole writes, fresh listings, one sentence for each failure."""

from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path

import pytest

from storage.location import PARTIAL, LocalLocation, Location, ObjectLocation, storage_errors
from tam_dist.errors import StorageError


def test_write_read_list_remove(project: Location) -> None:
    assert project.children() == []
    assert (project / "a.json").read() is None
    (project / "b" / "c").write(b"1")
    (project / "a.json").write(b"old and long")
    (project / "a.json").write(b"new")
    assert (project / "a.json").read() == b"new"
    assert project.children() == ["a.json", "b"]
    assert (project / "b").children() == ["c"]
    assert project.read_many([]) == []
    assert project.read_many(["a.json"]) == [b"new"]
    assert project.read_many(["a.json", "none", "b/c"]) == [b"new", None, b"1"]
    for _ in range(2):
        (project / "a.json").remove()
    assert not (project / "a.json").exists()
    assert (project / "b" / "c").exists()


def test_write_new_only_once() -> None:
    lease = Location.parse("memory://write-new") / "lease"
    assert isinstance(lease, ObjectLocation)
    assert lease.write_new(b"1")
    assert not lease.write_new(b"2")
    assert lease.read() == b"1"


def test_names_and_addresses(tmp_path: Path) -> None:
    local = Location.parse(f"file://{tmp_path}/a")
    assert local == Location.parse(tmp_path / "a") == Location.parse(local)
    assert isinstance(local, LocalLocation)
    assert local.is_local
    assert local.name == "a"
    assert str(Location.parse("a")) == str(Path.cwd() / "a")  # another process has another current folder
    assert str(Location.parse("~/a")) == str(Path.home() / "a")
    remote = Location.parse("memory://films/a/")
    assert (str(remote / "b"), remote.name, remote.is_local) == ("memory:///films/a/b", "a", False)
    for location in (local, remote):
        assert pickle.loads(pickle.dumps(location)) == location
        assert Location.parse(str(location)) == location
        assert len({location, Location.parse(str(location))}) == 1


@pytest.mark.parametrize("where", ["nope://a/b", "gs://a/b"])
def test_an_unusable_protocol_is_named(where: str) -> None:
    if where.startswith("gs"):
        pytest.importorskip("fsspec")
        try:
            import gcsfs  # noqa: F401
        except ImportError:
            pass
        else:
            pytest.skip("gcsfs is installed here")
    with pytest.raises(StorageError, match=f"{where} cannot be opened"):
        Location.parse(where)


def test_a_failed_write_leaves_the_old_content_and_no_partial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = Location.parse(tmp_path / "a.json")
    where.write(b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match=r"a\.json failed, the disk is full: free space and run tam-dist resume\.$"):
            where.write(b"new")
    assert where.read() == b"old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_write_is_flushed_before_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    fsync, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append("fsync"), fsync(fd))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (order.append("rename"), rename(a, b))[1])
    Location.parse(tmp_path / "a").write(b"x")
    assert order == ["fsync", "rename", "fsync"]  # the content, the name, the folder


def test_sweep_removes_partial_files_alone(tmp_path: Path) -> None:
    project = Location.parse(tmp_path)
    (project / "deep" / "keep").write(b"")
    stray = project / "deep" / f".c.0.0.0.123{PARTIAL}"
    stray.write(b"half")
    assert project.sweep() == [str(stray)]
    assert (project / "deep").children() == ["keep"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.ENOENT, errno.EIO])
def test_every_failure_is_one_sentence_that_names_the_path(code: int) -> None:
    with pytest.raises(StorageError) as caught, storage_errors("Writing", "/films/a"):
        raise OSError(code, os.strerror(code))
    text = str(caught.value)
    assert text.startswith("Writing /films/a failed, ")
    assert text.endswith(".")
    assert text.count(". ") == 0
    assert ":" in text


def test_other_exceptions_pass_unchanged() -> None:
    with pytest.raises(ZeroDivisionError), storage_errors("Writing", "/films/a"):
        _ = 1 / 0
