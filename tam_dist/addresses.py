"""Paths and URLs as people write them in commands, corpora and prompt files, without opening what they name."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from tam_dist.errors import TamDistError

#: What most file systems take as one name.
_LONGEST_NAME = 255


def absolute(path: str, folder: str | None = None) -> str:
    """A path or URL that means the same from every folder and process; a relative one is relative to ``folder``.

    >>> absolute("a.mp4", "s3://films/2024")
    's3://films/2024/a.mp4'
    """
    if "://" in path:
        return path
    if folder is not None and "://" in folder and not path.startswith("/"):
        return f"{folder.rstrip('/')}/{path}"
    return (Path(folder or ".") / path).absolute().as_posix()


def parent(path: str) -> str:
    """The folder that a path or URL lies in.

    >>> parent("s3://films/2024/a.json"), parent("a.json")
    ('s3://films/2024', '.')
    """
    if "://" in path:
        return path.rstrip("/").rpartition("/")[0]
    return Path(path).parent.as_posix()


def check_path(path: str, what: str, error: type[TamDistError]) -> None:
    """Raise ``error`` where ``path`` could neither be kept in a project's records nor be shown: names that are not UTF-8 (they
    reach Python as lone surrogates, which no JSON file takes), that hold control characters, or that no file system has.
    ``what`` is how the sentence begins: "The name of the video".
    """
    shown = ascii(path)[1:-1] if len(path) <= 100 else f"{ascii(path[:97])[1:-1]}..."
    if any(0xD800 <= ord(c) <= 0xDFFF for c in path):
        raise error(f"{what} {shown} is not UTF-8: rename it.")
    if any(ord(c) < 32 or ord(c) == 127 for c in path):
        raise error(f"{what} {shown} holds a control character, such as a line break: rename it.")
    if any(len(part.encode()) > _LONGEST_NAME for part in path.split("/")):
        raise error(f"{what} {shown} is longer than {_LONGEST_NAME} bytes: shorten it.")


def read_bytes(path: str) -> bytes:
    """The whole file at a path or URL. Raises :class:`OSError` whatever went wrong, :class:`FileNotFoundError` among it."""
    if "://" not in path:
        return Path(path).read_bytes()
    import fsspec

    try:
        with fsspec.open(path, "rb") as file:
            return bytes(file.read())
    except OSError:
        raise
    except Exception as error:  # libraries below fsspec have errors of their own: no credentials, no such host, no package
        raise OSError(errno.EIO, os.strerror(errno.EIO) if not str(error) else str(error).splitlines()[0]) from error
