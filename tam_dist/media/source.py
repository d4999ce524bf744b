"""Where a video lies: a local file or folder, or any fsspec URL, with one way to open, measure and identify it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from tam_dist.errors import VideoError

_MISSING_PACKAGE = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}


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
        """Name and size in bytes of each file directly in the folder, sorted by name."""
        files = (entry for entry in self.fs.ls(self.path, detail=True) if entry["type"] == "file")
        return sorted((str(entry["name"]).rsplit("/", 1)[-1], int(entry["size"])) for entry in files)

    def read_file(self, name: str) -> bytes:
        """A whole file of the folder."""
        return cast(bytes, self.fs.cat_file(f"{self.path.rstrip('/')}/{name}"))

    def fingerprint(self) -> str:
        """Identifies the content without reading it.

        ``size-mtime_ns`` of a local file; ``size-etag``, or else the size and modification time, of a remote one; a digest of
        names and sizes for a folder. The size comes first, so that copies of one file can be told from another file.
        """
        if self.is_folder:
            digest = hashlib.sha256("\n".join(f"{name} {size}" for name, size in self.listing()).encode())
            return f"folder-{digest.hexdigest()[:32]}"
        if self.is_local:
            status = Path(self.path).stat()
            return f"{status.st_size}-{status.st_mtime_ns}"
        info = self.fs.info(self.path)
        marks = ("ETag", "etag", "md5Hash", "LastModified", "mtime", "last_modified", "created")
        mark = next((info[key] for key in marks if info.get(key)), "")
        return f"{info['size']}-{str(mark).strip(chr(34))}"


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
        raise VideoError(f"There is no video at {name}.") from error
    except ImportError as error:
        package = _MISSING_PACKAGE.get(scheme, "an fsspec package for it")
        raise VideoError(f"Opening {name} needs {package}, which is not installed: pip install {package}.") from error
    except ValueError as error:
        raise VideoError(f"The address {name} cannot be opened: {error}") from error
    except OSError as error:
        raise VideoError(f"{name} cannot be reached: {error}") from error
    is_folder = info["type"] == "directory"
    if not is_folder and info["size"] == 0:
        raise VideoError(f"{name} is empty (0 bytes); copy or download it again.")
    return Source(uri=name, fs=fs, path=path, is_folder=is_folder)
