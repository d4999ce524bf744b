"""Files of a data set, from a folder or straight from a git repository's newest commit.

Data sets that come as snapshots of public repositories have no work tree, and unpacking half a gigabyte to read each
file once would only fill the disk: git gives the blobs one by one.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Protocol

from tam_dist.training.packed import TrainingDataError


class FileTree(Protocol):
    """Files by their relative path with forward slashes."""

    def names(self) -> list[str]:
        """All paths, sorted."""

    def read(self, name: str) -> bytes:
        """A file's content; raises :class:`TrainingDataError` where there is none."""


class FolderTree:
    """Files below a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> list[str]:
        return sorted(path.relative_to(self._root).as_posix() for path in self._root.rglob("*") if path.is_file())

    def read(self, name: str) -> bytes:
        try:
            return (self._root / name).read_bytes()
        except OSError as error:
            raise TrainingDataError(f"The training file {self._root / name} cannot be read: {error}") from error


class GitTree:
    """Files of the commit that HEAD of a repository points to, with or without a work tree."""

    def __init__(self, git_dir: Path) -> None:
        self._git_dir = git_dir
        self._blobs: subprocess.Popen[bytes] | None = None

    def names(self) -> list[str]:
        listing = subprocess.run([*self._git(), "ls-tree", "-r", "-z", "--name-only", "HEAD"], capture_output=True)  # noqa: S603
        if listing.returncode:
            reason = listing.stderr.decode(errors="replace").strip()
            raise TrainingDataError(f"{self._git_dir} is not a git repository with a commit: {reason}")
        return sorted(listing.stdout.decode(errors="surrogateescape").split("\0")[:-1])

    def read(self, name: str) -> bytes:
        if "\n" in name:
            raise TrainingDataError(f"The file {name!r} in {self._git_dir} has a name that cannot be asked for.")
        if self._blobs is None:
            command = [*self._git(), "cat-file", "--batch"]
            self._blobs = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603
        pipe = self._blobs
        assert pipe.stdin is not None
        assert pipe.stdout is not None
        pipe.stdin.write(f"HEAD:{name}\n".encode(errors="surrogateescape"))
        pipe.stdin.flush()
        header = pipe.stdout.readline().split()
        if len(header) != 3 or not header[2].isdigit():
            raise TrainingDataError(f"The repository {self._git_dir} holds no file {name}.")
        content = pipe.stdout.read(int(header[2]))
        pipe.stdout.read(1)
        return content

    def close(self) -> None:
        """End the reading process; the next read starts another."""
        if self._blobs is not None:
            self._blobs.communicate()
            self._blobs = None

    def _git(self) -> list[str]:
        return ["git", f"--git-dir={self._git_dir}"]


def open_tree(path: Path) -> FolderTree | GitTree:
    """The files at ``path``: a git directory, a folder with one called ``.git`` but no files beside it, or a plain folder."""
    if (path / "HEAD").is_file() and (path / "objects").is_dir():
        return GitTree(path)
    if (path / ".git").exists() and len(list(path.iterdir())) == 1:
        return GitTree(path / ".git")
    if not path.is_dir():
        raise TrainingDataError(f"There is no folder {path} to read training data from.")
    return FolderTree(path)
