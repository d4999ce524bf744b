from __future__ import annotations

import base64
import gc
import tracemalloc
from itertools import pairwise

import cv2
import numpy as np
from fastapi.testclient import TestClient

from storage.project_store import ProjectStore
from tam_dist import steering
from tam_dist.review import runs
from tam_dist.review.pane import Pane
from tam_dist.review.scores import UNKNOWN, Scores
from tam_dist.steering.trouble import Trouble
from tam_dist.types import ChunkResult, Origin
from tests.finished import CHUNK
from tests.tam_dist.review.conftest import FRAMES, labels_in
from tests.tiny import HEIGHT, WIDTH, moving_square

_MEASURED = ("suggestions", "projects", "pages", "passed", "passed_total")


def test_a_frame_is_the_videos(client: TestClient, project: str) -> None:
    for frame in (0, 30, 29, FRAMES - 1):  # forwards, far, back
        data = client.get(f"/media/{project}/v/{frame}.jpg").content
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape == (HEIGHT, WIDTH, 3)
        apart = np.abs(picture[:, :, ::-1].astype(int) - moving_square(FRAMES)).mean((1, 2, 3))
        assert apart[frame] == apart.min()


def test_masks_come_with_their_revision_and_scores(client: TestClient, project: str, pane: Pane) -> None:
    client.get(f"/api/p/{project}")
    answer = client.get(f"/media/{project}/mask/9")
    labels, revision = runs.decode(answer.content)
    assert revision == 1
    assert np.array_equal(labels, pane.opener.get(project).store.labels[9])
    assert (
        answer.headers["X-Scores"]
        == f"{round(0.875 * 254)}:{int(Origin.PROPAGATED)},{round(0.875 * 254)}:{int(Origin.PROPAGATED)}"
    )


def test_what_is_not_there_is_404(client: TestClient, project: str) -> None:
    for path in (f"/media/{project}/mask/{FRAMES}", f"/media/{project}/v/-1.jpg", "/media/0000/mask/0", "/api/p/nothing"):
        assert client.get(path).status_code == 404, path


def test_a_view_tells_what_changed(client: TestClient, project: str, pane: Pane) -> None:
    view = client.get(f"/api/p/{project}").json()
    assert (view["frames"], view["state"], [o["name"] for o in view["objects"]]) == (FRAMES, "done", ["cat", "dog"])
    assert view["done"] == [[0, FRAMES - 1]]
    assert client.get(f"/api/p/{project}/cuts").json() == []
    with ProjectStore.open(pane.places.project(project).location, write=True) as store:
        labels = np.zeros((CHUNK, HEIGHT, WIDTH), np.uint8)
        store.commit(ChunkResult(1, CHUNK, labels, np.ones((CHUNK, 2), np.float32), np.full((CHUNK, 2), 2, np.uint8)))
    pane.opener.get(project).scores._looked = 0.0  # as after a quarter of a second
    later = client.get(f"/api/p/{project}?since={view['number']}").json()
    assert later["changed"] == {"1": 2}
    assert not labels_in(client.get(f"/media/{project}/mask/{CHUNK}").content).any()


def test_a_project_closed_for_others_and_opened_again_tells_what_changed(client: TestClient, project: str, pane: Pane) -> None:
    """Counted from 0 at every opening, a page that had seen 4 changes was told of no other before the fifth."""
    seen = client.get(f"/api/p/{project}").json()["number"]
    with ProjectStore.open(pane.places.project(project).location, write=True) as store:
        labels = np.zeros((CHUNK, HEIGHT, WIDTH), np.uint8)
        store.commit(ChunkResult(1, CHUNK, labels, np.ones((CHUNK, 2), np.float32), np.full((CHUNK, 2), 2, np.uint8)))
    pane.opener._opened.pop(project).close()  # as when eight others are looked at
    assert client.get(f"/api/p/{project}?since={seen}").json()["changed"]["1"] == 2


def test_a_timeline_shows_the_worst_of_each_column(client: TestClient, project: str) -> None:
    client.get(f"/api/p/{project}")
    view = client.get(f"/api/p/{project}/timeline?first=0&stop={FRAMES}&columns=11").json()
    assert view["columns"] == 11
    quality = np.frombuffer(base64.b64decode(view["lanes"][0]["quality"]), np.uint8)
    assert quality.tolist() == [round(0.875 * 254)] * 11
    assert client.get(f"/api/p/{project}/timeline?first=9&stop=9&columns=4").status_code == 400


def test_lanes_are_minima_and_unions() -> None:
    scores = Scores.__new__(Scores)
    scores._quality = np.array([[200], [10], [UNKNOWN], [UNKNOWN]], np.uint8)
    scores._origin = np.array([[Origin.PROMPTED], [Origin.REFINED], [Origin.ABSENT], [Origin.PROPAGATED]], np.uint8)
    (lane,) = scores.lanes(0, 4, 2)
    assert lane.quality.tolist() == [10, UNKNOWN]
    assert lane.marks.tolist() == [1 | 2, 8]
    assert lane.gone.tolist() == [0, 127]


def test_projects_are_listed_with_their_progress(client: TestClient) -> None:
    (row,) = client.get("/api/projects").json()
    assert (row["name"], row["state"], row["frames_done"], row["live"]) == ("film", "done", FRAMES, False)


def test_thumbnails_are_small_pictures(client: TestClient, project: str) -> None:
    data = client.get(f"/media/{project}/thumb/3").content
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape[1] == 320


def test_the_queue_is_that_of_the_api_and_follows_what_is_asked(client: TestClient, project: str, pane: Pane) -> None:
    where = pane.places.project(project).location
    with ProjectStore.open(where, write=True) as store:
        for chunk, frame in ((1, 12), (3, 27)):
            rows = slice(chunk * CHUNK, (chunk + 1) * CHUNK)
            quality = np.full((CHUNK, 2), 0.9, np.float32)
            quality[frame % CHUNK, int(chunk == 3)] = 0.25
            labels = store.labels[rows]
            labels[frame % CHUNK][labels[frame % CHUNK] == 2] = 0  # "dog" is lost in 27, "cat" is only unsure in 12
            store.commit(ChunkResult(chunk, rows.start, labels, quality, np.full((CHUNK, 2), 2, np.uint8)))

    def shown() -> list[tuple[int, str, str]]:
        pane.opener.get(project).scores._looked = 0.0
        client.get(f"/api/p/{project}")
        queue = client.get("/api/queue?page=p").json()
        assert queue["left"] == len(queue["spots"])
        return [(s["frame"], s["object"], s["reason"]) for s in queue["spots"]]

    assert shown() == [(27, "dog", Trouble.LOST.words), (12, "cat", "unsure")]  # the prompt in 0 is near the second
    assert shown() == [(s.frame, s.object, s.reason) for s in steering.review_queue(where)]
    steering.lock(where, 25)
    assert [frame for frame, *_ in shown()] == [12]


def test_metrics_count_what_waits_and_who_works(client: TestClient, project: str, pane: Pane) -> None:
    with ProjectStore.open(pane.places.project(project).location, write=True) as store:
        quality = np.full((CHUNK, 2), 0.9, np.float32)
        quality[3, 0] = 0.25
        labels = store.labels[2 * CHUNK : 3 * CHUNK]
        store.commit(ChunkResult(2, 2 * CHUNK, labels, quality, np.full((CHUNK, 2), 2, np.uint8)))
    pane.opener.get(project).scores._looked = 0.0
    client.get(f"/api/p/{project}")

    def told() -> dict[str, float]:
        lines = client.get("/metrics").text.splitlines()
        return {name: float(value) for name, value in (line.split() for line in lines if not line.startswith("#"))}

    before = told()
    assert {name.removesuffix("_created") for name in before} == {f"tam_dist_review_{n}" for n in _MEASURED}
    assert before["tam_dist_review_suggestions"] == 0, "no page has asked"
    spot = {"page": "p", "project": project, "frame": 2 * CHUNK + 3, "object": "cat"}
    assert client.get("/api/queue?page=p").json()["left"] == 1
    client.post("/api/queue/claim", json=spot)
    now = told()
    assert [now[f"tam_dist_review_{name}"] for name in ("suggestions", "projects", "pages")] == [1, 1, 1]
    client.post("/api/queue/pass", json=spot)
    client.get(f"/api/queue?page=p&project={project}")  # of one project: says nothing of all
    later = told()
    assert [later[f"tam_dist_review_{name}"] for name in ("suggestions", "pages", "passed_total")] == [1, 0, 1]


def test_polling_keeps_nothing(client: TestClient, project: str, pane: Pane) -> None:
    """Of pages that come and go all day, each with a number of its own."""

    def poll(pages: range) -> None:
        for page in pages:
            view = client.get(f"/api/p/{project}").json()
            client.get(f"/api/p/{project}?since={view['number']}")
            client.get(f"/api/queue?page={page}")
            client.post("/api/queue/claim", json={"page": str(page), "project": project, "frame": 9, "object": "cat"})
            client.post("/api/queue/release", json={"page": str(page)})

    poll(range(20))
    tracemalloc.start()
    try:
        kept = []
        for first in range(20, 180, 40):
            poll(range(first, first + 40))
            gc.collect()
            kept.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    # What is kept once and for all grows now and then (a table that is doubled, a module's cache); a visit that costs memory
    # does so every time.
    assert min(b - a for a, b in pairwise(kept)) < 40 * 500, "each page's visit costs memory"
    assert not pane.claims._claims
