"""Where a project lies: a local folder or any fsspec URL, with the few operations storage needs, each all-or-nothing.

>>> root = Location.parse("memory://films/a")
>>> (root / "state.json").write(b"{}")
>>> root.children()
['state.json']
>>> (root / "missing.json").read() is None
True
"""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import fsspec
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper

from tam_dist.errors import StorageError

if TYPE_CHECKING:
    from zarr.abc.store import Store

PARTIAL = ".partial"  # suffix of a file that is being written; one left behind by a killed writer is swept
# A listing remembered from before another process's write hides that write.
_NO_CACHE = {"use_listings_cache": False}
_REMEDY = {
    errno.ENOSPC: "the disk is full: free space and run tam-dist resume",
    errno.EDQUOT: "the disk quota is used up: free space and run tam-dist resume",
    errno.EFBIG: "the file is larger than this file system or the process's limit allows: choose another folder",
    errno.EROFS: "the file system is read-only: choose a folder that can be written",
    errno.EACCES: "permission is denied: change the permissions or choose another folder",
    errno.EPERM: "permission is denied: change the permissions or choose another folder",
    errno.ENOENT: "there is no such folder or bucket: create it first",
    errno.ENOTDIR: "a part of the path is a file: choose another folder",
    errno.EEXIST: "a file is in the way: choose another folder",
    errno.EISDIR: "a folder lies where a file is expected: move it away",
    errno.ENAMETOOLONG: "the path is too long: choose a shorter one",
}
# Libraries under fsspec whose exceptions do not derive from OSError.
_REMOTE_LIBRARIES = ("botocore", "aiobotocore", "aiohttp", "gcsfs", "google", "azure", "fsspec", "s3fs")


@contextmanager
def storage_errors(doing: str, where: object) -> Iterator[None]:
    """Turn every failure of a disk, a network or a remote service into a :class:`StorageError` of one sentence.

    >>> with storage_errors("Writing", "/films/a"):
    ...     raise OSError(errno.ENOSPC, "No space left on device")
    Traceback (most recent call last):
    tam_dist.errors.StorageError: Writing /films/a failed, the disk is full: free space and run tam-dist resume.
    """
    try:
        yield
    except OSError as error:
        code = errno.ENOENT if isinstance(error, FileNotFoundError) else error.errno
        remedy = _REMEDY.get(code or 0) or f"{_first_line(error)}: check the path and the connection, then run tam-dist resume"
        raise StorageError(f"{doing} {where} failed, {remedy}.") from error
    except Exception as error:
        if not of_remote_library(error):
            raise
        reason = f"{_first_line(error)}: check the address, the credentials and the network, then run tam-dist resume"
        raise StorageError(f"{doing} {where} failed, {reason}.") from error


def _lost_race(error: BaseException | None) -> bool:
    """S3 answers a put whose condition does not hold with a sentence about pre-conditions, or, where two are on their way,
    about a conflict, which s3fs hands on as a plain OSError.
    """
    text = str(error).lower().replace("-", "")
    return "precondition" in text or "conditional request" in text


def of_remote_library(error: BaseException) -> bool:
    """Whether it is a library's below fsspec, which do not all derive from OSError."""
    return type(error).__module__.partition(".")[0] in _REMOTE_LIBRARIES


def _local_path(text: str) -> Path:
    """Absolute, because an actor in another process has another current folder."""
    try:
        if "\0" in text:
            raise ValueError("it holds a zero byte")
        text.encode()  # project.json and every message hold the path as text
        return Path(text).expanduser().absolute()
    except (ValueError, RuntimeError) as error:
        reason = "it is not UTF-8" if isinstance(error, UnicodeEncodeError) else _first_line(error)
        raise StorageError(f"The path {text!a} cannot be used, {reason}: choose another.") from error


def _first_line(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0].rstrip(". ")


class Location(ABC):
    """A file or folder of a project. Locations compare, hash, print and pickle as their address."""

    is_local: bool

    @staticmethod
    def parse(where: str | os.PathLike[str] | Location) -> Location:
        """``where``: a path, ``file://``, or an fsspec URL (``s3://bucket/films/a``, ``memory://a``).

        Credentials and endpoints come from fsspec's own configuration (``FSSPEC_S3_ENDPOINT_URL``, ``~/.config/fsspec``).
        Raises :class:`StorageError` where the protocol is unknown or its package is not installed.
        """
        if isinstance(where, Location):
            return where
        text = os.fspath(where)
        protocol, separator, rest = text.partition("://")
        if not separator or protocol in ("file", "local"):
            return LocalLocation(_local_path(rest or text))
        try:
            with storage_errors("Opening", text):
                fs, root = fsspec.url_to_fs(text, **_NO_CACHE)
        except (ImportError, ValueError) as error:
            hint = "install tam-dist[s3]" if protocol in ("s3", "s3a") else "check the protocol or install its fsspec package"
            raise StorageError(f"{text} cannot be opened, {_first_line(error)}: {hint}.") from error
        return ObjectLocation(fs, root.rstrip("/"))

    @abstractmethod
    def __truediv__(self, name: str) -> Self:
        """The child ``name``."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The last part of the address."""

    @abstractmethod
    def read(self) -> bytes | None:
        """The whole content; None where there is nothing. Raises :class:`StorageError`."""

    def read_many(self, names: Sequence[str]) -> list[bytes | None]:
        """:meth:`read` of several children; at once where each is a round trip."""
        return [(self / name).read() for name in names]

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Create or replace the file with ``data``: after a crash there is the old content or the new, never a mixture.

        Missing folders are made. Raises :class:`StorageError`.
        """

    @abstractmethod
    def children(self) -> list[str]:
        """Sorted names of the children, files and folders; [] where there are none. Never a remembered listing."""

    @abstractmethod
    def exists(self) -> bool: ...

    @abstractmethod
    def size(self) -> int:
        """Of the file, bytes; 0 where there is none."""

    @abstractmethod
    def remove(self) -> None:
        """Remove the file; nothing happens where it is gone already. Raises :class:`StorageError`."""

    @abstractmethod
    def remove_tree(self) -> None:
        """Remove the folder and all below it; nothing happens where it is gone already. Raises :class:`StorageError`."""

    @abstractmethod
    def sweep(self) -> list[str]:
        """Remove what killed writers left half-written below here; returns the addresses."""

    @abstractmethod
    def zarr_store(self, *, read_only: bool) -> Store:
        """A zarr store of this folder whose writes are as durable as :meth:`write`."""

    def __repr__(self) -> str:
        return f"Location({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Location) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


class LocalLocation(Location):
    """A local path. Writes go to a temporary file beside the target, are flushed to the disk and renamed over it."""

    is_local = True

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def __truediv__(self, name: str) -> LocalLocation:
        return LocalLocation(self.path / name)

    @property
    def name(self) -> str:
        return self.path.name

    def read(self) -> bytes | None:
        with storage_errors("Reading", self):
            try:
                return self.path.read_bytes()
            except FileNotFoundError:
                return None

    def write(self, data: bytes) -> None:
        with storage_errors("Writing", self):
            replace_file(self.path, data)

    def children(self) -> list[str]:
        with storage_errors("Reading", self):
            try:
                return sorted(os.listdir(self.path))
            except FileNotFoundError:
                return []

    def exists(self) -> bool:
        with storage_errors("Reading", self):
            return self.path.exists()

    def size(self) -> int:
        with storage_errors("Reading", self):
            try:
                return self.path.stat().st_size
            except FileNotFoundError:
                return 0

    def remove(self) -> None:
        with storage_errors("Removing", self), suppress(FileNotFoundError):
            self.path.unlink()

    def remove_tree(self) -> None:
        with storage_errors("Removing", self):
            if self.path.is_dir():
                shutil.rmtree(self.path)

    def sweep(self) -> list[str]:
        strays = [Path(folder) / f for folder, _, files in os.walk(self.path) for f in files if f.endswith(PARTIAL)]
        with storage_errors("Removing half-written files in", self):
            for stray in strays:
                stray.unlink(missing_ok=True)
        return [str(stray) for stray in strays]

    def zarr_store(self, *, read_only: bool) -> Store:
        from storage.stores import DurableLocalStore

        return DurableLocalStore(self.path, read_only=read_only)


class ObjectLocation(Location):
    """A key prefix of an object store behind fsspec, where a put is all-or-nothing and a reader sees the last one."""

    is_local = False

    def __init__(self, fs: fsspec.AbstractFileSystem, root: str) -> None:
        self._fs = fs
        self._root = root

    def __str__(self) -> str:
        return str(self._fs.unstrip_protocol(self._root))

    def __reduce__(self) -> tuple[Any, ...]:
        # By address: a file system object carries sockets, and on another node the credentials differ.
        return Location.parse, (str(self),)

    def __truediv__(self, name: str) -> ObjectLocation:
        return ObjectLocation(self._fs, f"{self._root}/{name}")

    @property
    def name(self) -> str:
        return self._root.rpartition("/")[2]

    def read(self) -> bytes | None:
        with storage_errors("Reading", self):
            try:
                return bytes(self._fs.cat_file(self._root))
            except (FileNotFoundError, IsADirectoryError):
                return None

    def read_many(self, names: Sequence[str]) -> list[bytes | None]:
        paths = [f"{self._root}/{name}" for name in names]
        if not paths:
            return []
        with storage_errors("Reading", self):
            found = self._fs.cat(paths, on_error="return")
            if isinstance(found, bytes):  # fsspec unwraps a single path
                found = {paths[0]: found}
            for value in found.values():
                if isinstance(value, Exception) and not isinstance(value, FileNotFoundError):
                    raise value
            return [found[path] if isinstance(found.get(path), bytes) else None for path in paths]

    def write(self, data: bytes) -> None:
        with storage_errors("Writing", self):
            self._fs.pipe_file(self._root, bytes(data))

    def write_new(self, data: bytes) -> bool:
        """Create the file, or return False where there is one already (decided by the service, not by a look before)."""
        with storage_errors("Writing", self):
            try:
                self._fs.pipe_file(self._root, data, mode="create")
            except FileExistsError:
                return False
            except OSError as error:
                if _lost_race(error):
                    return False
                raise
            return True

    def children(self) -> list[str]:
        with storage_errors("Reading", self):
            try:
                found = self._fs.ls(self._root, detail=False)
            except (FileNotFoundError, NotADirectoryError):
                return []
        return sorted(
            {str(path).rstrip("/").rpartition("/")[2] for path in found if str(path).strip("/") != self._root.strip("/")}
        )

    def exists(self) -> bool:
        with storage_errors("Reading", self):
            return bool(self._fs.exists(self._root))

    def size(self) -> int:
        with storage_errors("Reading", self):
            try:
                return int(self._fs.info(self._root)["size"])
            except FileNotFoundError:
                return 0

    def version(self) -> str | None:
        """Names the file's present content for :meth:`replace`; None where there is none, or the store has no such names."""
        if "s3" not in self._protocols:
            return None
        with storage_errors("Reading", self):
            try:
                return str(self._fs.info(self._root)["ETag"])
            except FileNotFoundError:
                return None

    def replace(self, data: bytes, version: str | None) -> bool:
        """Write, but only over the content that :meth:`version` named (decided by the service); False where it is another by
        now. With None, and where the service cannot decide that, simply write.
        """
        if version is not None:
            try:
                with storage_errors("Writing", self):
                    self._fs.pipe_file(self._root, bytes(data), IfMatch=version)
                    return True
            except StorageError as error:
                cause = error.__cause__
                if isinstance(cause, FileNotFoundError) or _lost_race(cause):
                    return False
                if "implement" not in str(cause).lower():
                    raise
        self.write(data)
        return True

    @property
    def _protocols(self) -> tuple[str, ...]:
        protocol = self._fs.protocol
        return (protocol,) if isinstance(protocol, str) else tuple(protocol)

    def remove(self) -> None:
        with storage_errors("Removing", self), suppress(FileNotFoundError):
            self._fs.rm_file(self._root)

    def remove_tree(self) -> None:
        with storage_errors("Removing", self), suppress(FileNotFoundError):
            self._fs.rm(self._root, recursive=True)

    def sweep(self) -> list[str]:
        return []  # an unfinished put is invisible

    def zarr_store(self, *, read_only: bool) -> Store:
        from zarr.storage import FsspecStore

        with storage_errors("Opening", self):
            # zarr awaits the file system on its own event loop, so it needs an instance of its own made for that;
            # file systems without async code (memory://) run in threads instead.
            if self._fs.async_impl:
                fs, _ = fsspec.url_to_fs(str(self), asynchronous=True, **_NO_CACHE)
            else:
                fs = AsyncFileSystemWrapper(self._fs, asynchronous=True)
            return FsspecStore(fs, path=self._root, read_only=read_only)


def replace_file(path: Path, data: bytes | memoryview) -> None:
    """Write ``data`` so that neither SIGKILL nor a power cut can leave ``path`` torn: temporary, fsync, rename, fsync."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}{PARTIAL}")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):  # the first failure is the one to report
            partial.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
