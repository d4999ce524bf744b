from __future__ import annotations

import base64
import io
import threading
from pathlib import Path

import numpy as np
from fastapi.testclient import TestClient
from PIL import Image

from tam_dist.review.pane import Pane
from tam_dist.types import Clicks, Mask, Prompt
from tests.tam_dist.review.conftest import correction, make_pane
from tests.tiny import HEIGHT, WIDTH


def clicks(pane: Pane, project: str) -> list[Prompt]:
    """Those that corrected something."""
    return [p for p in pane.opener.get(project).prompts() if p.purpose == "correction" and isinstance(p.data, Clicks)]


def test_a_correction_is_in_the_log_before_it_is_answered(client: TestClient, project: str, pane: Pane) -> None:
    answer = client.post(f"/api/p/{project}/correct", json=correction())
    assert answer.status_code == 200, answer.text
    last = pane.opener.get(project).prompts()[-1]
    assert isinstance(last.data, Clicks)
    assert (last.object_name, last.frame, last.purpose, last.author) == ("cat", 20, "correction", "ann")
    assert answer.json()["entries"][-1] == last.uuid
    assert not answer.json()["live"]


def test_the_same_correction_twice_counts_once(client: TestClient, project: str, pane: Pane) -> None:
    body = correction()
    for _ in range(2):
        assert client.post(f"/api/p/{project}/correct", json=body).status_code == 200
    assert len(clicks(pane, project)) == 1


def test_a_correction_can_take_the_place_of_one_before(client: TestClient, project: str, pane: Pane) -> None:
    def cat() -> list[str]:
        return [p.uuid for p in pane.opener.get(project).prompts() if (p.frame, p.object_name) == (20, "cat")]

    answers = [
        client.post(f"/api/p/{project}/correct", json={**correction(), "replace": r}).json() for r in (False, False, True)
    ]
    mask, *clicks = (entry for answer in answers[:2] for entry in answer["entries"])
    assert cat() == [mask, answers[2]["entries"][0]]  # of the mask that the first one changed
    assert client.post(f"/api/p/{project}/undo").status_code == 200
    assert cat() == [mask, *clicks]


def test_a_click_on_masks_that_are_others_now_is_refused(client: TestClient, project: str, pane: Pane) -> None:
    answer = client.post(f"/api/p/{project}/correct", json=correction(revision=7))
    assert answer.status_code == 409
    assert "revision 1" in answer.json()["error"]
    assert len(pane.opener.get(project).prompts()) == 2


def test_bad_corrections_change_nothing(client: TestClient, project: str, pane: Pane) -> None:
    for mark in (
        {"object": "cow"},
        {"points": []},
        {"points": [[WIDTH + 5, 3, 1]]},
        {"points": [], "box": [5, 5, 5, 9]},
        {"mask": "no"},
    ):
        answer = client.post(f"/api/p/{project}/correct", json=correction(**mark))
        assert answer.status_code == 400, mark
        assert answer.json()["error"]
    assert client.post(f"/api/p/{project}/correct", json={"frame": 3}).status_code == 422
    assert len(pane.opener.get(project).prompts()) == 2


def test_a_painted_mask_is_a_mask(client: TestClient, project: str, pane: Pane) -> None:
    pixels = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    pixels[3:9, 4:12] = 255
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    text = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    assert client.post(f"/api/p/{project}/correct", json=correction(mask=text, points=[])).status_code == 200
    data = pane.opener.get(project).prompts()[-1].data
    assert isinstance(data, Mask)
    assert np.array_equal(data.to_array(), pixels[:, :, 3] > 0)


def test_undo_redo_lock_unlock_remove_rename_retrack(client: TestClient, project: str) -> None:
    def act(what: str, **body: object) -> int:
        return client.post(f"/api/p/{project}/{what}", json=body).status_code

    assert act("undo") == 400  # nothing to undo
    assert client.post(f"/api/p/{project}/correct", json=correction()).status_code == 200
    assert (act("undo"), act("redo")) == (200, 200)
    assert act("lock", frame=30, revision=1) == 200
    assert act("lock", frame=30, revision=1) == 400  # is locked
    assert act("unlock", frame=30) == 200
    assert act("remove", object="dog", first=3, last=9) == 200
    assert act("rename", object="dog", name="wolf") == 200
    assert act("retrack", first=0, last=7) == 200
    said = [entry["what"] for entry in client.get(f"/api/p/{project}/history").json()]
    assert said[0] == "frames 0..7 anew"
    assert "'dog' is called 'wolf'" in said
    assert [o["shown"] for o in client.get(f"/api/p/{project}").json()["objects"]] == ["cat", "wolf"]


def test_a_new_object_is_added_with_its_first_mask(client: TestClient, project: str) -> None:
    body = correction(object="bird", new=True)
    assert client.post(f"/api/p/{project}/correct", json=body).status_code == 200
    view = client.get(f"/api/p/{project}").json()
    assert [o["name"] for o in view["objects"]] == ["cat", "dog", "bird"]


def test_ten_people_lose_and_double_nothing(client: TestClient, project: str, pane: Pane) -> None:
    def person(number: int) -> None:
        for k in range(3):
            body = correction(frame=1 + number * 4 + k)
            for _ in range(2):  # as where the first answer was lost
                assert client.post(f"/api/p/{project}/correct", json=body).status_code == 200

    people = [threading.Thread(target=person, args=(number,)) for number in range(10)]
    for each in people:
        each.start()
    for each in people:
        each.join()
    frames = [p.frame for p in clicks(pane, project)]
    assert sorted(frames) == sorted(1 + number * 4 + k for number in range(10) for k in range(3))


def test_a_new_videos_first_clicks_make_its_project(tmp_path: Path, runs: Path, tiny_settings: tuple[str, ...]) -> None:
    pane = make_pane(runs, videos=(str(tmp_path / "videos"),))
    from tam_dist.review.app import build_app

    with TestClient(build_app(pane, page=False), base_url="http://localhost") as client:
        draft = pane.opener.start_draft(pane.places.videos()[0], "second")
        assert client.get(f"/api/p/{draft.id}").json()["draft"]
        assert client.get(f"/media/{draft.id}/v/3.jpg").status_code == 200
        answer = client.post(f"/api/p/{draft.id}/correct", json=correction(frame=0, revision=0, object="square", new=True))
        assert answer.status_code == 200, answer.text
        view = client.get(f"/api/p/{answer.json()['project']}").json()
        assert (view["name"], [o["name"] for o in view["objects"]]) == ("second", ["square"])
    pane.close()
