"""Weight files: finding, fetching from a server of this machine, verifying."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tam_dist.errors import ResourceError, WeightsError
from tam_dist.models import checkpoints
from tam_dist.models.checkpoints import REGISTRY, Weights, pull, read_shapes, resolve, sha256, verify
from tam_dist.models.xmem.config import XMemConfig
from tam_dist.models.xmem.network import XMem

CONTENT = bytes(range(256)) * 4000


class FileServer(ThreadingHTTPServer):
    """Serves ``content`` under every path, with ranges; ``cuts`` holds how many bytes each next answer breaks off after."""

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = content
        self.cuts: list[int] = []
        self.ranges: list[str | None] = []
        self.honours_ranges = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        size = len(self.server.content)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.server.honours_ranges else 0
        if "missing" in self.path:
            self.send_error(404)
            return
        if start >= size:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{size}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(size - start))
        self.end_headers()
        stop = start + self.server.cuts.pop(0) if self.server.cuts else size
        self.wfile.write(self.server.content[start:stop])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer(CONTENT) as served:
        threading.Thread(target=partial(served.serve_forever, 0.01), daemon=True).start()
        yield served
        served.shutdown()


@pytest.fixture
def entry(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Weights:
    """Registered weights that lie on the server."""
    monkeypatch.setenv("TAM_DIST_WEIGHTS", str(tmp_path / "cache"))
    made = Weights("small", "sam", f"{server.url}/small.pth", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setitem(REGISTRY, "small", made)
    return made


def partial_of(entry: Weights) -> Path:
    return entry.path.with_name(f"{entry.file}.partial")


def test_pull_verifies_and_keeps(entry: Weights, server: FileServer, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = pull("small", progress=lambda done, total: seen.append((done, total)))
    assert path == tmp_path / "cache" / "small.pth"
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert not partial_of(entry).exists()
    assert pull("small") == path
    assert server.ranges == [None]  # the second call asked for nothing
    assert resolve("small", "sam") == path


def test_a_cut_download_goes_on_by_itself(entry: Weights, server: FileServer) -> None:
    server.cuts = [1000, 5000]
    assert pull("small").read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1000-", "bytes=6000-"]


def test_a_download_given_up_goes_on_next_time(entry: Weights, server: FileServer) -> None:
    server.cuts = [2000, 0, 0, 0]
    with pytest.raises(WeightsError, match="run tam-dist weights pull small again"):
        pull("small")
    assert partial_of(entry).read_bytes() == CONTENT[:2000]
    assert pull("small").read_bytes() == CONTENT
    assert server.ranges[-1] == "bytes=2000-"


def test_a_server_without_ranges_sends_it_all_again(entry: Weights, server: FileServer) -> None:
    server.cuts, server.honours_ranges = [3000], False
    assert pull("small").read_bytes() == CONTENT


@pytest.mark.parametrize("left", [CONTENT, CONTENT + b"more"])
def test_a_partial_file_that_is_complete_or_too_long(entry: Weights, server: FileServer, left: bytes) -> None:
    partial_of(entry).parent.mkdir()
    partial_of(entry).write_bytes(left)
    assert pull("small").read_bytes() == CONTENT
    assert len(server.ranges) == (1 if left == CONTENT else 2)


def test_wrong_bytes_are_refused_and_not_gone_on_from(entry: Weights, server: FileServer) -> None:
    server.content = b"x" + CONTENT[1:]
    with pytest.raises(WeightsError, match=r"is not small: its SHA-256 is .* expected"):
        pull("small")
    assert list(entry.path.parent.iterdir()) == []
    with pytest.raises(WeightsError, match="tam-dist weights pull small"):
        resolve("small", "sam")


def test_an_address_that_is_not_there(entry: Weights, server: FileServer) -> None:
    with pytest.raises(WeightsError, match="answered 404"):
        pull("small", mirror=f"{server.url}/missing")
    with pytest.raises(WeightsError, match="only https"):
        pull("small", mirror="ftp://example.org/x")


def test_a_server_that_cannot_be_reached(entry: Weights, server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "_ATTEMPTS", 1)
    server.shutdown()
    server.server_close()
    with pytest.raises(WeightsError, match="refused"):
        pull("small")


def test_a_mirror_may_be_an_address_or_a_folder(entry: Weights, server: FileServer, tmp_path: Path) -> None:
    assert pull("small", mirror=f"{server.url}/copies/").read_bytes() == CONTENT
    entry.path.unlink()
    (tmp_path / "mirror").mkdir()
    with pytest.raises(WeightsError, match=r"no small\.pth in the mirror"):
        pull("small", mirror=str(tmp_path / "mirror"))
    (tmp_path / "mirror" / "small.pth").write_bytes(CONTENT)
    assert pull("small", mirror=str(tmp_path / "mirror"), offline=True).read_bytes() == CONTENT
    assert len(server.ranges) == 1


def test_offline_asks_nobody(entry: Weights, server: FileServer) -> None:
    with pytest.raises(WeightsError, match=r"--offline forbids .*small\.pth: copy small\.pth there"):
        pull("small", offline=True)
    with pytest.raises(WeightsError, match="--offline forbids"):
        pull("small", offline=True, mirror=server.url)
    assert server.ranges == []


def test_too_little_space_is_noticed_before_the_download(entry: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = checkpoints.shutil.disk_usage("/")
    monkeypatch.setattr(checkpoints.shutil, "disk_usage", lambda _: usage._replace(free=10))
    with pytest.raises(ResourceError, match=r"small needs 1 MB .* TAM_DIST_WEIGHTS"):
        pull("small")


def test_a_folder_that_cannot_be_made(entry: Weights, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file in the way")
    with pytest.raises(ResourceError, match="small cannot be stored in"):
        pull("small")


def test_two_processes_do_not_fetch_one_file(entry: Weights) -> None:
    partial_of(entry).parent.mkdir()
    with partial_of(entry).open("ab") as held:
        checkpoints._lock(held, "small")
        with pytest.raises(WeightsError, match="fetched by another process"):
            pull("small")


@pytest.mark.parametrize(("name", "near"), [("sam_vith", "sam_vit_h"), ("oficial", "official"), ("zzz", "there are XMem")])
def test_pulling_an_unknown_name_suggests(name: str, near: str) -> None:
    with pytest.raises(WeightsError, match=near):
        pull(name)


def test_resolving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAM_DIST_WEIGHTS", str(tmp_path))
    own = tmp_path / "own.pth"
    own.touch()
    assert resolve(str(own), "xmem") == own
    with pytest.raises(WeightsError, match=r"2,565 MB\) are not on this machine: .*run tam-dist weights pull .*sam_vit_h"):
        resolve("sam_vit_h", "sam")
    with pytest.raises(WeightsError, match=r"sam_vit_h are weights of sam, but models\.xmem needs"):
        resolve("sam_vit_h", "xmem")
    with pytest.raises(WeightsError, match="did you mean embedded"):
        resolve("embeded", "xmem")
    with pytest.raises(WeightsError, match=r"there is no file .*none\.pth"):
        resolve(str(tmp_path / "none.pth"), "sam")


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TAM_DIST_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert REGISTRY["XMem"].path == Path("/cache/tam-dist/XMem.pth")


# --- verification without a published hash ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def xmem_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with official XMem's tensors, their values zero (and stored once, so that it stays small)."""
    with torch.device("meta"):
        shapes = XMem(XMemConfig()).state_dict()
    path = tmp_path_factory.mktemp("xmem") / "XMem.pth"
    torch.save({name: torch.zeros(()).expand(tensor.shape) for name, tensor in shapes.items()}, path)
    return path


def test_official_xmem_is_known_by_its_structure(xmem_file: Path) -> None:
    assert "no SHA-256 is published" in verify(xmem_file, REGISTRY["XMem"])


def test_another_network_is_not_xmem(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(3)}, path)
    assert read_shapes(path) == {"weight": (3,)}
    with pytest.raises(WeightsError, match="not a checkpoint of XMem"):
        verify(path, REGISTRY["XMem"])


def test_a_damaged_byte_is_found(xmem_file: Path, tmp_path: Path) -> None:
    content = bytearray(xmem_file.read_bytes())
    content[content.index(b"PK\x03\x04") + 200] ^= 1
    path = tmp_path / "XMem.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"XMem\.pth"):
        verify(path, REGISTRY["XMem"])


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"<html>404</html>", bytes(1000)])
def test_bytes_that_are_no_weights(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="is not a readable weight file") as raised:
        verify(path)
    assert "\n" not in str(raised.value)
    with pytest.raises(WeightsError, match="There is no weight file"):
        verify(tmp_path / f"none{suffix}")


def test_a_safetensors_file_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.zeros(100)}, path)
    assert verify(path) == "readable, 1 tensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(WeightsError, match="is not a readable weight file"):
        verify(path)


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    import pickle

    path = tmp_path / "w.pth"
    path.write_bytes(pickle.dumps(Bomb(str(tmp_path / "gone off"))))
    with pytest.raises(WeightsError, match="is not a readable weight file"):
        verify(path)
    assert not (tmp_path / "gone off").exists()


class Bomb:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (open, (self.path, "w"))


def test_sha256_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()
    with pytest.raises(WeightsError, match="cannot be read"):
        sha256(tmp_path / "b")
