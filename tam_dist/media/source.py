"""Where a video lies: a local file or folder, or any fsspec URL, with one way to open, measure and identify it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from tam_dist.errors import VideoError

_MISSING_PACKAGE = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}


# Libraries under fsspec whose exceptions do not derive from OSError: S3 without credentials, or with a dead endpoint.
_REMOTE_LIBRARIES = ("botocore", "aiobotocore", "aiohttp", "gcsfs", "google", "azure", "fsspec", "s3fs")
_BY_CONTENT = "b:"
_BLOCKS, _BLOCK = 16, 1 << 16


@dataclass(frozen=True, eq=False)
class Source:
    """A video's place. ``path`` is what ``fs`` (an fsspec file system) calls it."""

    uri: str
    fs: Any
    path: str
    is_folder: bool

    @property
    def is_local(self) -> bool:
        return "file" in self.fs.protocol

    def open(self) -> str | IO[bytes]:
        """What PyAV opens: a path where the file is local (FFmpeg then reads it itself), else a seekable file object."""
        return self.path if self.is_local else cast(IO[bytes], self.fs.open(self.path, "rb"))

    def head(self, size: int) -> bytes:
        """The first ``size`` bytes."""
        with self.fs.open(self.path, "rb") as file:
            return cast(bytes, file.read(size))

    def size(self) -> int:
        return int(self.fs.info(self.path)["size"])

    def listing(self) -> list[tuple[str, int]]:
        """Name and size in bytes of each file directly in the folder, sorted by name; links count as what they lead to.

        (Data sets that DVC, git-annex or a hub's cache brought consist of links, and were said to hold no images.)
        """
        files = (entry for entry in self.fs.ls(self.path, detail=True) if entry["type"] == "file" or self._is_link(entry))
        return sorted((str(entry["name"]).rsplit("/", 1)[-1], int(entry["size"])) for entry in files)

    def _is_link(self, entry: Mapping[str, Any]) -> bool:
        """Whether it leads to a file: of a local folder, "other" is what fsspec calls links, pipes and devices."""
        return entry["type"] == "other" and bool(entry.get("islink")) and bool(self.fs.isfile(entry["name"]))

    def read_file(self, name: str) -> bytes:
        """A whole file of the folder."""
        return cast(bytes, self.fs.cat_file(f"{self.path.rstrip('/')}/{name}"))

    def fingerprint(self) -> str:
        """Identifies the content, wherever and whenever it was copied, at the cost of reading a megabyte.

        ``size-b:hash`` of a local file, the hash being that of sampled blocks; ``size-etag``, or else the size and modification
        time, of a remote one; a digest of names and sizes for a folder. Compare with :func:`same_content`.
        """
        if self.is_folder:
            digest = hashlib.sha256("\n".join(f"{name} {size}" for name, size in self.listing()).encode())
            return f"folder-{digest.hexdigest()[:32]}"
        if self.is_local:
            size = Path(self.path).stat().st_size
            return f"{size}-{_BY_CONTENT}{_sampled_digest(self.path, size)}"
        info = self.fs.info(self.path)
        marks = ("ETag", "etag", "md5Hash", "LastModified", "mtime", "last_modified", "created")
        mark = next((info[key] for key in marks if info.get(key)), "")
        return f"{info['size']}-{str(mark).strip(chr(34))}"


def same_content(one: str, other: str) -> bool:
    """Whether two fingerprints can be of the same content.

    Those of different kinds (a file and its copy in an object store; the size and time of versions before hashes) have the
    size alone in common; whoever needs more compares what the videos hold.

    >>> same_content("9-b:aa", "9-b:bb"), same_content("9-b:aa", "9-1700000000000000000"), same_content("9-b:aa", "8-b:aa")
    (False, True, False)
    """
    size, _, mark = one.partition("-")
    other_size, _, other_mark = other.partition("-")
    if size != other_size:
        return False
    kinds = {_kind(mark), _kind(other_mark)}
    return mark == other_mark or len(kinds) > 1 or kinds == {"time"}


def _kind(mark: str) -> str:
    return "content" if mark.startswith(_BY_CONTENT) else "time" if len(mark) >= 18 and mark.isdigit() else "etag"


def _sampled_digest(path: str, size: int) -> str:
    """SHA-256 (32 hex digits) of 16 blocks of 64 KiB, spread evenly from the first to the last; of all of a small file."""
    sha = hashlib.sha256()
    starts = (
        range(0, size, _BLOCK) if size <= _BLOCKS * _BLOCK else [n * (size - _BLOCK) // (_BLOCKS - 1) for n in range(_BLOCKS)]
    )
    with Path(path).open("rb", buffering=0) as file:
        for start in starts:
            file.seek(start)
            sha.update(file.read(_BLOCK))
    return sha.hexdigest()[:32]


def absolute(uri: str) -> str:
    """A path or URL that means the same from every folder.

    >>> absolute("s3://films/a.mp4"), absolute("/films/a.mp4")
    ('s3://films/a.mp4', '/films/a.mp4')
    """
    return uri if "://" in uri else str(Path(uri).expanduser().absolute())


def resolve(uri: str | Path) -> Source:
    """The :class:`Source` at ``uri``: a path, ``file://``, or a URL of any installed fsspec file system (``s3://``,
    ``memory://``).

    Raises :class:`VideoError` where there is nothing, where it is an empty file, or where it cannot be reached.
    """
    import fsspec

    name = str(uri)
    scheme = name.split("://", 1)[0] if "://" in name else "file"
    try:
        fs, path = fsspec.core.url_to_fs(name)
        info = fs.info(path)
    except FileNotFoundError as error:
        raise VideoError(_why_not_found(name, error)) from error
    except ImportError as error:
        package = _MISSING_PACKAGE.get(scheme, "an fsspec package for it")
        raise VideoError(f"Opening {name} needs {package}, which is not installed: pip install {package}.") from error
    except ValueError as error:
        raise VideoError(f"The address {name!a} cannot be opened: {_first_line(error)}") from error
    except OSError as error:
        raise VideoError(f"{name} cannot be reached: {_first_line(error)}") from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in _REMOTE_LIBRARIES:
            raise
        raise VideoError(
            f"{name} cannot be reached, {_first_line(error)}: check the address, credentials and network."
        ) from error
    is_folder = info["type"] == "directory"
    if not is_folder and info["size"] == 0:
        raise VideoError(f"{name} is empty (0 bytes); copy or download it again.")
    return Source(uri=name, fs=fs, path=path, is_folder=is_folder)


def _why_not_found(name: str, error: BaseException) -> str:
    """fsspec says "not found" of whatever happens to a request; what did is the error behind that one."""
    cause = error.__cause__
    status = getattr(cause, "status", None)
    if status in (401, 403):
        return f"{name} is not for everybody: the server answered {status}; check the address and your permissions."
    if status is not None and status != 404:
        return f"{name} cannot be reached: the server answered {status}; try again later."
    reasons = {
        "ClientConnectorDNSError": "there is no such host",
        "ClientConnectorCertificateError": "its certificate is not valid",
        "ClientConnectorError": "the host refuses the connection",
        "ServerDisconnectedError": "the server ended the connection",
    }
    kind = next((kind.__name__ for kind in type(cause).__mro__ if kind.__name__ in reasons), None)
    if kind is not None:
        return f"{name} cannot be reached: {reasons[kind]}; check the address and the network."
    return f"There is no video at {name}."


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
