"""Weight files: which ones are known, where they lie, how they come here, and whether they are what they should be.

Nothing is downloaded unless :func:`pull` is called (``tam-dist weights pull``). A file appears under its name only after it
was verified; until then it is ``<file>.partial``, from which an interrupted download goes on.
"""

from __future__ import annotations

import difflib
import fcntl
import hashlib
import os
import shutil
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO, Literal, cast

from tam_dist.errors import MissingWeightsError, ResourceError, WeightsError

Kind = Literal["xmem", "sam"]
#: Called with the bytes that are there and the bytes of the whole file.
Progress = Callable[[int, int], None]

_ATTEMPTS = 3
_TIMEOUT_SECONDS = 30
_BLOCK = 1 << 20
_XMEM = "https://github.com/hkchengrex/XMem/releases/download/v1.0"
_SAM = "https://dl.fbaipublicfiles.com/segment_anything"


@dataclass(frozen=True)
class Weights:
    """A published weight file. ``sha256`` is None where its authors state none and none is known; such a file is verified by
    the checksums inside it and by the name and shape of every tensor. ``size`` in bytes, approximate where ``sha256`` is None.
    """

    name: str
    kind: Kind
    url: str
    size: int
    sha256: str | None = None

    @property
    def file(self) -> str:
        return self.url.rpartition("/")[2]

    @property
    def path(self) -> Path:
        """Where it lies, or would lie, on this machine."""
        return weights_folder() / self.file


#: The digits in the names of SAM's files begin the MD5, not the SHA-256.
REGISTRY = {
    weights.name: weights
    for weights in (
        Weights("XMem", "xmem", f"{_XMEM}/XMem.pth", 249_000_000),
        Weights("XMem-s012", "xmem", f"{_XMEM}/XMem-s012.pth", 249_000_000),
        Weights(
            "sam_vit_h",
            "sam",
            f"{_SAM}/sam_vit_h_4b8939.pth",
            2_564_550_879,
            "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        ),
        Weights(
            "sam_vit_l",
            "sam",
            f"{_SAM}/sam_vit_l_0b3195.pth",
            1_249_524_607,
            "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        ),
        Weights(
            "sam_vit_b",
            "sam",
            f"{_SAM}/sam_vit_b_01ec64.pth",
            375_042_383,
            "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        ),
    )
}
#: What ``models.preset=official`` uses.
OFFICIAL = ("XMem-s012", "sam_vit_h")
EMBEDDED = {kind: Path(__file__).parent / "embedded" / f"{kind}.safetensors" for kind in ("xmem", "sam")}


def weights_folder() -> Path:
    """``$TAM_DIST_WEIGHTS``, or ``tam-dist`` in the user's cache folder."""
    if chosen := os.environ.get("TAM_DIST_WEIGHTS"):
        return Path(chosen).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "tam-dist"


def resolve(weights: str, kind: Kind) -> Path:
    """The file that ``weights`` means: "embedded", a name of :data:`REGISTRY`, or a path. Never downloads.

    Raises :class:`WeightsError` where it is not there, with the command that brings it, or where it is of the other model.
    """
    if weights == "embedded":
        return _existing(EMBEDDED[kind], f"The embedded {kind} weights")
    if weights not in REGISTRY:
        if os.sep not in weights and not Path(weights).suffix and not Path(weights).exists():
            raise _unknown(weights, kind)
        return _existing(Path(weights).expanduser(), f"The {kind} weights")
    entry = REGISTRY[weights]
    if entry.kind != kind:
        raise WeightsError(f"{weights} are weights of {entry.kind}, but models.{kind} needs those of {kind}.")
    if not entry.path.is_file():
        both = "tam-dist weights pull official (all that models.preset=official needs) or " if weights in OFFICIAL else ""
        raise MissingWeightsError(
            f"The weights {weights} ({entry.size / 1e6:,.0f} MB) are not on this machine: "
            f"run {both}tam-dist weights pull {weights}."
        )
    return entry.path


def sha256(path: Path) -> str:
    """The file's SHA-256, in hex. Raises :class:`WeightsError` where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"The weights {path} cannot be read: {error.strerror}.") from error


# --- verifying -------------------------------------------------------------------------------------------------------


def verify(path: Path, weights: Weights | None = None) -> str:
    """Check a weight file against what is known of it; returns in words what was compared.

    Without ``weights`` only that it is an undamaged safetensors or PyTorch file. Raises :class:`WeightsError`.
    """
    if weights is not None and weights.sha256 is not None:
        found = sha256(path)
        if found != weights.sha256:
            raise WeightsError(f"{path} is not {weights.name}: its SHA-256 is {found}, expected {weights.sha256}.")
        return f"SHA-256 {found}"
    shapes = read_shapes(path)
    if weights is not None and weights.kind == "xmem":
        _verify_official_xmem(path, shapes)
        return f"checksums inside the file and all {len(shapes)} tensors; no SHA-256 is published"
    return f"readable, {len(shapes)} tensors"


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Name and shape of each tensor of a safetensors or PyTorch file, every byte of which is checked as far as it allows.

    Nothing in the file is executed. Raises :class:`WeightsError` where it is damaged or of another form.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, framework="np") as file:
                return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        import torch

        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if damaged := archive.testzip():  # torch.load does not compare the checksums
                    raise WeightsError(f"The weights {path} are damaged (in {damaged}): get the file again.")
        state = torch.load(path, map_location="meta", weights_only=True)
        return {name: tuple(tensor.shape) for name, tensor in state.items()}
    except FileNotFoundError as error:
        raise WeightsError(f"There is no weight file {path}: check the path.") from error
    except WeightsError:
        raise
    except Exception as error:  # unpickling and both libraries raise almost anything for bytes that are no weights
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise WeightsError(f"{path} is not a readable weight file ({reason[:120]}): get it again.") from error


def _verify_official_xmem(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    import torch

    from tam_dist.models.xmem.network import XMem

    with torch.device("meta"):
        try:
            XMem.from_official({name: torch.empty(shape) for name, shape in shapes.items()})
        except (WeightsError, RuntimeError) as error:
            reason = str(error).splitlines()[-1].strip()
            raise WeightsError(f"{path} is not a checkpoint of XMem: {reason}") from error


# --- bringing here ---------------------------------------------------------------------------------------------------


def pull(name: str, *, mirror: str | None = None, offline: bool = False, progress: Progress | None = None) -> Path:
    """Bring the registered weights ``name`` into :func:`weights_folder`, verify them, and return their path.

    ``mirror``: a folder, or the URL of one, that holds the file under its published name. ``offline``: use no network.
    A file that is there already is kept. Raises :class:`WeightsError`, :class:`ResourceError` where the disk is too full.
    """
    entry = registered(name)
    target = entry.path
    if target.is_file():
        return target
    partial = target.with_name(f"{target.name}.partial")
    from_folder = mirror is not None and "://" not in mirror
    if offline and not from_folder:
        raise WeightsError(
            f"{name} is not in {target.parent} and --offline forbids fetching {entry.url}: "
            f"copy {entry.file} there, or name its folder with --mirror."
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("ab") as file:
            _lock(file, name)
            if from_folder:
                _copy(Path(cast(str, mirror)).expanduser() / entry.file, file, entry, progress)
            else:
                _download(entry.url if mirror is None else f"{mirror.rstrip('/')}/{entry.file}", file, entry, progress)
            _verify_partial(partial, entry)
            os.replace(partial, target)
    except OSError as error:
        raise ResourceError(f"{name} cannot be stored in {target.parent}: {error.strerror or error}.") from error
    return target


def registered(name: str) -> Weights:
    """The entry of :data:`REGISTRY`. Raises :class:`WeightsError` that names the nearest where there is none."""
    if name not in REGISTRY:
        raise _unknown(name, None)
    return REGISTRY[name]


def _verify_partial(partial: Path, entry: Weights) -> None:
    try:
        verify(partial, entry)
    except WeightsError:
        partial.unlink()  # going on from wrong bytes would give wrong bytes again
        raise


def _copy(source: Path, file: BinaryIO, entry: Weights, progress: Progress | None) -> None:
    if not source.is_file():
        raise WeightsError(f"There is no {entry.file} in the mirror {source.parent}.")
    file.truncate(0)
    _require_space(file, source.stat().st_size, entry)
    with source.open("rb") as original:
        _append(original, file, source.stat().st_size, progress)


def _download(url: str, file: BinaryIO, entry: Weights, progress: Progress | None) -> None:
    """Append to ``file`` what it lacks; a broken connection is taken up again as long as bytes arrive."""
    failures = 0
    while True:
        before = file.seek(0, os.SEEK_END)
        try:
            total = _fetch(url, file, entry, progress)
            if file.tell() >= total:
                return
            reason = "the connection was cut"
        except urllib.error.HTTPError as error:
            if error.code != 416 or not before:
                raise WeightsError(f"{url} cannot be downloaded: the server answered {error.code} {error.reason}.") from error
            if error.headers.get("Content-Range") == f"bytes */{before}":
                return  # all of it was here already, only not verified yet
            file.truncate(0)
            reason = "the partial file did not fit"
        except (HTTPException, OSError) as error:
            reason = str(getattr(error, "reason", error))
        failures = 0 if file.tell() > before else failures + 1
        if failures == _ATTEMPTS:
            raise WeightsError(
                f"{url} cannot be downloaded ({reason}): run tam-dist weights pull {entry.name} again to go on from "
                f"{file.tell() / 1e6:,.0f} MB, or name a mirror with --mirror."
            )


def _fetch(url: str, file: BinaryIO, entry: Weights, progress: Progress | None) -> int:
    """One request for what ``file`` lacks; returns the size of the whole."""
    if not url.startswith(("https://", "http://")):
        raise WeightsError(f"{url} cannot be downloaded: only https:// and http:// addresses can, or a folder.")
    start = file.seek(0, os.SEEK_END)
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})  # noqa: S310  checked above
    with cast(HTTPResponse, urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)) as response:  # noqa: S310
        if start and response.status != 206:  # the server sends all of it again
            start = file.truncate(0)
        total = start + int(response.headers.get("Content-Length") or entry.size - start)
        _require_space(file, total - start, entry)
        _append(response, file, total, progress)
    return total


def _append(source: BinaryIO | HTTPResponse, file: BinaryIO, total: int, progress: Progress | None) -> None:
    done = file.seek(0, os.SEEK_END)
    while block := source.read(_BLOCK):
        try:
            file.write(block)
            file.flush()
        except OSError as error:
            raise ResourceError(f"{file.name} cannot be written: {error.strerror or error}.") from error
        done += len(block)
        if progress is not None:
            progress(done, total)


def _require_space(file: BinaryIO, needed: int, entry: Weights) -> None:
    folder = Path(file.name).parent
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ResourceError(
            f"{entry.name} needs {needed / 1e6:,.0f} MB but {folder} has {free / 1e6:,.0f} MB left: "
            f"free space, or choose another folder with TAM_DIST_WEIGHTS."
        )


def _lock(file: BinaryIO, name: str) -> None:
    """Two downloads into one file would mix."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise WeightsError(f"{name} is being fetched by another process: wait until it is done.") from error


def _existing(path: Path, what: str) -> Path:
    if not path.is_file():
        raise WeightsError(f"{what} are missing, there is no file {path}: check the path or the installation.")
    return path


def _unknown(name: str, kind: Kind | None) -> WeightsError:
    known = ["embedded", *REGISTRY] if kind else [*REGISTRY, "official"]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}."
    return WeightsError(f"There are no weights named {name!r} and no such file; {hint}")
