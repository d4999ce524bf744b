"""A video is known by its content; what keeps it from being opened is told apart."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tam_dist.errors import VideoError
from tam_dist.media.source import resolve, same_content


def fingerprint(path: Path) -> str:
    return resolve(path).fingerprint()


@pytest.mark.parametrize("size", [1, 1000, 1 << 20, (1 << 20) + 1, 5_000_001])
def test_a_copy_is_the_same_and_another_file_is_not(tmp_path: Path, size: int) -> None:
    original = tmp_path / "a.mp4"
    original.write_bytes(os.urandom(size))
    copy = tmp_path / "b.mp4"
    shutil.copyfile(original, copy)
    os.utime(copy, (1, 1))
    assert same_content(fingerprint(original), fingerprint(copy))
    for position in (0, size - 1):
        changed = bytearray(original.read_bytes())
        changed[position] ^= 1
        copy.write_bytes(changed)
        assert not same_content(fingerprint(original), fingerprint(copy))
    copy.write_bytes(original.read_bytes() + b"x")
    assert not same_content(fingerprint(original), fingerprint(copy))


def test_a_large_file_is_not_read_whole(tmp_path: Path) -> None:
    large = tmp_path / "film.mp4"
    with large.open("wb") as file:
        file.truncate(100 << 30)  # a hole: no disk is used, but reading it would take minutes
    assert fingerprint(large).startswith(f"{100 << 30}-b:")


def test_fingerprints_of_earlier_versions_are_compared_by_size(tmp_path: Path) -> None:
    video = tmp_path / "a.mp4"
    video.write_bytes(b"12345")
    assert same_content("5-1795595260660018200", fingerprint(video))
    assert not same_content("6-1795595260660018200", fingerprint(video))
    assert same_content("5-d41d8cd98f00b204e9800998ecf8427e", fingerprint(video))
    assert not same_content("5-d41d8cd98f00b204e9800998ecf8427e", "5-e41d8cd98f00b204e9800998ecf8427e")
    assert not same_content("folder-aa", "folder-bb")


def test_links_in_a_folder_are_the_files_they_lead_to(tmp_path: Path) -> None:
    kept, folder = tmp_path / "kept", tmp_path / "clip"
    kept.mkdir()
    folder.mkdir()
    (kept / "x").write_bytes(b"123")
    (folder / "0.jpg").symlink_to(kept / "x")
    (folder / "1.jpg").symlink_to(kept / "nothing")
    (folder / "2.jpg").symlink_to(kept)
    os.mkfifo(folder / "3.jpg")
    source = resolve(str(folder))
    assert source.listing() == [("0.jpg", 3)]
    assert source.read_file("0.jpg") == b"123"


class Answer(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_error(int(self.path.strip("/").split(".")[0]))

    do_GET = do_HEAD  # noqa: N815

    def log_message(self, *args: object) -> None: ...


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answer) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


@pytest.mark.parametrize(
    ("status", "message"),
    [(403, "not for everybody: the server answered 403"), (404, "There is no video at"), (500, "the server answered 500")],
)
def test_what_a_web_server_answers_is_told(server: str, status: int, message: str) -> None:
    pytest.importorskip("aiohttp")
    with pytest.raises(VideoError, match=message):
        resolve(f"{server}/{status}.mp4")


def test_a_refused_connection_and_an_unknown_host_are_told_apart() -> None:
    pytest.importorskip("aiohttp")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(VideoError, match="the host refuses the connection"):
            resolve(f"http://127.0.0.1:{closed.getsockname()[1]}/a.mp4")
    with pytest.raises(VideoError, match="there is no such host"):
        resolve("http://no-such-host.invalid/a.mp4")


@pytest.mark.parametrize("name", ["a\nb.mp4", "x" * 300 + ".mp4", "a\x00b.mp4", "a\udcff.mp4"])
def test_a_strange_name_is_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(VideoError):
        resolve(f"{tmp_path}/{name}")


def test_s3_without_credentials_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("s3fs")
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setitem(__import__("fsspec").config.conf, "s3", {"endpoint_url": endpoint, "skip_instance_cache": True})
        monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
        with pytest.raises(VideoError, match=r"s3://bucket/a\.mp4 cannot be reached"):
            resolve("s3://bucket/a.mp4")
