"""Who is let in, and to what."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tam_dist.errors import ConfigError, ProjectError, VideoError
from tam_dist.review import serving
from tam_dist.review.app import build_app
from tam_dist.review.guard import LARGEST_BODY
from tam_dist.review.places import Places
from tam_dist.review.sessions import Sessions, TooManyTriesError
from tests.tam_dist.review.conftest import correction, make_pane

PASSWORD = "correct horse"


@pytest.fixture
def closed(runs: Path) -> TestClient:
    """A pane with a password and Gradio's page."""
    return TestClient(build_app(make_pane(runs, PASSWORD)), base_url="http://pane.example", follow_redirects=False)


def log_in(client: TestClient) -> None:
    answer = client.post("/login", data={"name": "bea", "password": PASSWORD})
    assert answer.status_code == 303
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie


def test_every_route_needs_a_login(closed: TestClient) -> None:
    assert isinstance(closed.app, FastAPI)
    described = closed.app.openapi()["paths"]
    paths = {(method, path) for path, methods in described.items() for method in methods if path not in ("/login", "/metrics")}
    assert len(paths) > 20
    for method, path in paths:
        filled = path.replace("{frame}", "0").replace("{project}", "x").replace("{version}", "v").replace("{identifier}", "x")
        assert closed.request(method, filled).status_code == 401, (method, path)
    for path in (
        "/",
        "/config",
        "/gradio_api/info",
        "/gradio_api/queue/join",
        "/pane/app.js",
        "/assets/index.js",
        "/theme.css",
    ):
        assert closed.get(path).status_code == 401, path
    assert closed.get("/", headers={"accept": "text/html"}).headers["location"] == "/login"


def test_metrics_are_told_to_all_and_name_nothing(closed: TestClient) -> None:
    answer = closed.get("/metrics")
    assert answer.status_code == 200
    assert "tam_dist_review_suggestions 0.0" in answer.text
    assert "film" not in answer.text


def test_after_a_login_all_is_open_and_the_name_is_ones_own(closed: TestClient) -> None:
    log_in(closed)
    assert closed.get("/").status_code == 200
    assert closed.get("/api/me").json()["author"] == "bea"
    (row,) = closed.get("/api/projects").json()
    assert closed.post(f"/api/p/{row['id']}/correct", json=correction()).status_code == 200
    assert closed.get(f"/api/p/{row['id']}/history").json()[0]["author"] == "bea"


def test_forged_and_old_cookies_are_none(runs: Path) -> None:
    sessions = Sessions(PASSWORD, "")
    good = sessions.log_in("bea", PASSWORD, "1.2.3.4")
    assert good is not None
    assert sessions.author_of(good) == "bea"
    text, until, signature = good.split(".")
    for bad in (None, "", "a.b.c", f"{text}.{int(until) + 1}.{signature}", f"{text}.1.{signature}", "é.1.ü", good + "0"):
        assert sessions.author_of(bad) is None, bad
    assert Sessions(PASSWORD, "").author_of(good) is None  # another process's key


def test_wrong_passwords_must_wait(closed: TestClient) -> None:
    for _ in range(5):
        assert closed.post("/login", data={"name": "eve", "password": "guess"}).status_code == 401
    answer = closed.post("/login", data={"name": "eve", "password": PASSWORD})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0


def test_each_address_waits_for_itself() -> None:
    sessions = Sessions(PASSWORD, "")
    for _ in range(5):
        sessions.log_in("eve", "guess", "6.6.6.6")
    with pytest.raises(TooManyTriesError):
        sessions.log_in("eve", PASSWORD, "6.6.6.6")
    assert sessions.log_in("bea", PASSWORD, "1.2.3.4")


def test_other_sites_may_not_act(client: TestClient, project: str) -> None:
    path = f"/api/p/{project}/undo"
    assert client.post(path, headers={"origin": "http://evil.example"}).status_code == 403
    assert client.post(path, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert client.post(path, headers={"origin": "http://localhost"}).status_code == 400  # let in; nothing to undo


def test_without_a_password_only_localhost_is_answered(client: TestClient) -> None:
    assert client.get("/api/me", headers={"host": "rebound.example"}).status_code == 403
    assert client.get("/api/me", headers={"host": "127.0.0.1:7860"}).status_code == 200


def test_paths_lead_nowhere_else(client: TestClient, project: str, runs: Path) -> None:
    secret = runs.parent / "secret.txt"
    secret.write_text("no")
    for path in (
        "/pane/../app.py",
        "/pane/%2e%2e/app.py",
        "/pane/..%2f..%2fserving.py",
        f"/media/{project}/..%2f..%2fsecret.txt/0.jpg",
        "/media/export/..%2f..%2fsecret.txt",
        f"/media/..%2f{project}/mask/0",
        "/media/export/x",
        f"/gradio_api/file={secret}",
        "/gradio_api/upload",
    ):
        assert client.get(path).status_code in (400, 404, 405), path


def test_only_registered_folders_can_be_read(tmp_path: Path, runs: Path) -> None:
    places = Places(str(runs), [str(tmp_path / "videos")])
    outside = tmp_path / "other.mp4"
    outside.write_bytes(b"")
    link = tmp_path / "videos" / "link.mp4"
    link.symlink_to(outside)
    for path in (str(outside), str(link), f"{tmp_path}/videos/../other.mp4", "/etc/passwd"):
        with pytest.raises(VideoError, match="--videos"):
            places.checked_video(path)
    for name in ("../x", "/x", "", ".hidden", "a/b", "film"):
        with pytest.raises(ProjectError):
            places.new_project(name)


def test_large_bodies_are_refused(client: TestClient, project: str) -> None:
    path = f"/api/p/{project}/correct"
    assert client.post(path, content=b"x" * (LARGEST_BODY + 1)).status_code == 413

    def pieces() -> Iterator[bytes]:
        for _ in range(17):
            yield b"x" * (1 << 20)

    assert client.post(path, content=pieces()).status_code in (400, 413)


def test_pages_may_load_from_nowhere_else(client: TestClient) -> None:
    headers = client.get("/api/me").headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "http" not in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"


def test_other_addresses_need_a_good_password(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(serving.PASSWORD, raising=False)
    with pytest.raises(ConfigError, match="password"):
        serving.make_pane(str(runs), host="0.0.0.0")
    file = tmp_path / "password"
    file.write_text("short\n")
    with pytest.raises(ConfigError, match="shorter"):
        serving.make_pane(str(runs), host="0.0.0.0", password_file=str(file))
    file.write_text(PASSWORD + "\nsecond line\n")
    assert serving.make_pane(str(runs), host="0.0.0.0", password_file=str(file)).sessions.password == PASSWORD
    monkeypatch.setenv(serving.PASSWORD, PASSWORD)
    assert serving.make_pane(str(runs), host="::").sessions.password == PASSWORD
