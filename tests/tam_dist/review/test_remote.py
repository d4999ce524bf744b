"""Projects in an object store: the same pane, with fsspec's memory in place of a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tam_dist.review.jobs import is_driven, is_due
from tam_dist.review.pane import Pane
from tests.buckets import in_memory
from tests.tam_dist.review.conftest import FRAMES, correction, labels_in, make_pane


@pytest.fixture
def bucket(runs: Path) -> str:
    """The folder with "film", copied."""
    return str(in_memory(runs))


@pytest.fixture(params=["folder", "project"])
def pane(bucket: str, request: pytest.FixtureRequest) -> Iterator[Pane]:
    pane = make_pane(bucket if request.param == "folder" else f"{bucket}/film")
    yield pane
    pane.close()


def test_a_project_in_a_bucket_is_seen_corrected_and_locked(client: TestClient, pane: Pane, project: str, bucket: str) -> None:
    (row,) = client.get("/api/projects").json()
    assert (row["id"], row["name"], row["state"], row["frames_done"]) == (project, "film", "done", FRAMES)
    view = client.get(f"/api/p/{project}").json()
    assert view["done"] == [[0, FRAMES - 1]]
    assert labels_in(client.get(f"/media/{project}/mask/20").content).any()
    assert client.get(f"/media/{project}/v/20.jpg").status_code == 200
    assert client.get(f"/media/{project}/thumb/20").status_code == 200
    answer = client.post(f"/api/p/{project}/correct", json=correction())
    assert answer.status_code == 200, answer.text
    assert client.get(f"/api/p/{project}").json()["entries"] > view["entries"]
    assert client.get("/api/queue?page=p").json()["left"] == 0
    assert client.get(f"/api/p/{project}/history").json()[0]["what"] == "clicks for 'cat' on frame 20"
    assert client.post(f"/api/p/{project}/correct", json=correction(revision=7)).status_code == 409
    assert client.post(f"/api/p/{project}/undo").status_code == 200
    assert client.post(f"/api/p/{project}/lock", json={"frame": 30, "revision": 1}).status_code == 200
    assert [mark["purpose"] for mark in client.get(f"/api/p/{project}/marks").json()][-1] == "lock"
    where = pane.places.project(project).location
    assert not is_driven(where)
    assert is_due(where)


def test_what_was_asked_is_read_once_as_long_as_nothing_is_added(
    client: TestClient, pane: Pane, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Polling a bucket costs a look at what is there, not a reading of every entry."""
    client.get(f"/api/p/{project}")
    log = pane.opener.get(project)._log._log
    read, entries = [], log.entries
    monkeypatch.setattr(log, "entries", lambda: read.append(1) or entries())
    for _ in range(5):
        client.get(f"/api/p/{project}")
    assert not read
    client.post(f"/api/p/{project}/correct", json=correction())
    assert client.get(f"/api/p/{project}").json()["entries"] > 2
