"""A project behind a real S3 API: moto's server in a process of its own, s3fs configured through fsspec as a user would."""

from __future__ import annotations

import importlib.util
import json
import pickle
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import fsspec
import numpy as np
import pytest

from storage.encoding import encode_labels
from storage.location import Location
from storage.lock import LeaseTimes, acquire
from storage.manifest import Manifest
from storage.project_store import ProjectStore
from tam_dist.errors import ProjectError, ProjectExistsError, ProjectLockedError, StorageError
from tam_dist.types import Absent, ChunkResult, Prompt, TrackedObject

pytestmark = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("moto", "flask", "s3fs")),
    reason="needs the test extra (moto[server], s3fs)",
)
Make = Callable[..., ChunkResult]


@pytest.fixture(scope="module")
def server() -> Iterator[subprocess.Popen[bytes]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "y", "DEFAULT_REGION": "us-east-1"}.items():
            patch.setenv(f"AWS_{name}", value)
        patch.setitem(fsspec.config.conf, "s3", {"endpoint_url": f"http://127.0.0.1:{port}"})
        try:
            deadline = time.monotonic() + 60
            while True:
                assert process.poll() is None, "moto's server ended"
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    assert time.monotonic() < deadline, "moto's server does not listen"
                    time.sleep(0.1)
            fsspec.filesystem("s3").mkdir("bucket")
            yield process
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def bucket(server: subprocess.Popen[bytes], request: pytest.FixtureRequest) -> Location:
    return Location.parse(f"s3://bucket/{request.node.name}/film")


def test_a_whole_project(bucket: Location, manifest: Manifest, pts: np.ndarray, chunk_result: Make) -> None:
    with ProjectStore.create(bucket, manifest, pts) as store:
        reader = ProjectStore.open(pickle.loads(pickle.dumps(bucket)), write=False)
        for i in range(5):
            store.commit(chunk_result(i), f"state {i}".encode())
            assert reader.committed == frozenset(range(i + 1))
        assert np.array_equal(reader.labels[:], np.concatenate([chunk_result(i).labels for i in range(5)]))
        assert np.array_equal(reader.quality[4:8], chunk_result(1).quality)
        assert np.array_equal(reader.origin[17], chunk_result(4).origin[1])
        assert np.array_equal(reader.pts, pts)
        assert reader.checkpoint(4) == (3, b"state 3")

        assert store.commit(chunk_result(1, seed=1)).revision == 2
        assert np.array_equal(reader.labels[4:8], chunk_result(1, seed=1).labels)
        assert reader.is_intact(1)

        store.add_objects([TrackedObject(4, "late", (1, 2, 3))])
        assert reader.quality.shape == (18, 4)
        reader.append_prompts([Prompt(u, 0.0, "ann", 3, "cat", Absent(3, 4)) for u in ("a", "b")])
        store.undo_prompt("a", author="bob")
        assert [p.undone_by is None for p in reader.prompts()] == [False, True]
        store.set_state("running")
        assert reader.status().state == "running"
        with pytest.raises(ProjectLockedError, match="written by process"):
            ProjectStore.open(bucket, write=True)
    assert reader.status().state == "interrupted"
    with pytest.raises(ProjectExistsError):
        ProjectStore.create(bucket, manifest, pts)
    assert ".lock" not in bucket.children()


def test_what_a_killed_writer_left_is_removed(
    bucket: Location, manifest: Manifest, pts: np.ndarray, chunk_result: Make
) -> None:
    store = ProjectStore.create(bucket, manifest, pts, owner="writer-1")
    store.commit(chunk_result(0), b"state")
    result = chunk_result(1)
    labels = encode_labels(result.labels, store.manifest.chunk_size)
    store._masks.write(result.start, labels, result.quality, result.origin)  # killed before the commit record
    store._checkpoints.write(1, b"state")
    again = ProjectStore.open(bucket, write=True, owner="writer-1")  # the restarted actor
    assert again.committed == {0}
    assert not again.labels[4:8].any()
    assert (bucket / "checkpoints").children() == ["00000000.safetensors"]
    assert (bucket / "masks.zarr" / "quality").children() == ["c.0.0", "zarr.json"]
    again.close()


def test_no_listing_is_remembered(bucket: Location) -> None:
    stranger = fsspec.filesystem("s3", skip_instance_cache=True)  # as in another process: its writes clear no cache of ours
    key = str(bucket).removeprefix("s3://")
    (bucket / "commits" / "a").write(b"")
    assert (bucket / "commits").children() == ["a"]
    stranger.pipe_file(f"{key}/commits/b", b"")
    assert (bucket / "commits").children() == ["a", "b"]
    assert (bucket / "commits" / "b").exists()


def test_of_two_that_start_at_once_one_gets_the_lease(bucket: Location) -> None:
    assert (bucket / "x").write_new(b"1")  # type: ignore[attr-defined]
    assert not (bucket / "x").write_new(b"2")  # type: ignore[attr-defined]
    held = acquire(bucket, times=LeaseTimes(renew=1000))
    with pytest.raises(ProjectLockedError):
        acquire(bucket)
    held.release()


def test_a_bucket_that_is_not_there(server: subprocess.Popen[bytes], manifest: Manifest, pts: np.ndarray) -> None:
    with pytest.raises(StorageError, match=r"^Writing s3://nobucket/film/.lock failed, there is no such folder or bucket"):
        ProjectStore.create("s3://nobucket/film", manifest, pts)
    with pytest.raises(ProjectError, match="not a tam-dist project"):
        ProjectStore.open("s3://nobucket/film", write=False)


def test_an_unreachable_service_is_one_sentence(server: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        endpoint = {"endpoint_url": f"http://127.0.0.1:{closed.getsockname()[1]}"}
        monkeypatch.setitem(fsspec.config.conf, "s3", endpoint | {"config_kwargs": {"retries": {"max_attempts": 0}}})
        monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
        with pytest.raises(StorageError) as caught:
            ProjectStore.open("s3://elsewhere/film", write=False)
    text = str(caught.value)
    assert text.startswith("Reading s3://elsewhere/film/project.json failed, ")
    assert text.endswith(": check the address, the credentials and the network, then run tam-dist resume.")
    assert "\n" not in text


def test_of_several_writers_over_one_version_one_succeeds(bucket: Location) -> None:
    where = bucket / "x"
    where.write(b"first")
    version = where.version()  # type: ignore[attr-defined]
    assert version is not None
    assert where.replace(b"second", version)  # type: ignore[attr-defined]
    assert not where.replace(b"third", version)  # type: ignore[attr-defined]
    assert where.read() == b"second"
    current = where.version()  # type: ignore[attr-defined]
    where.remove()
    assert not where.replace(b"fourth", current)  # type: ignore[attr-defined]


def test_a_lease_taken_between_look_and_renewal_is_not_written_over(bucket: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    held = acquire(bucket, times=LeaseTimes(renew=1000))
    look = type(held)._is_mine

    def look_then_lose(self: object) -> bool:
        mine = look(self)  # type: ignore[arg-type]
        other = json.loads((bucket / ".lock").read() or b"") | {"owner": "other", "token": "other"}
        (bucket / ".lock").write(json.dumps(other).encode())
        return mine

    monkeypatch.setattr(type(held), "_is_mine", look_then_lose)
    assert not held._renew()  # type: ignore[attr-defined]
    assert json.loads((bucket / ".lock").read() or b"")["owner"] == "other"
    with pytest.raises(ProjectLockedError):
        held.check()
