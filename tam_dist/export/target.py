"""Where an export goes: written beside its place under another name, and moved there when it is whole."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tam_dist.errors import ExportError, StorageError

MARK = "export.json"
_PARTIAL = ".partial"


def mark_of(target: Path, *, folder: bool) -> Path:
    """Where the record of an export lies: inside a folder, beside a file (``masks.json.export.json``)."""
    return target / MARK if folder else target.with_name(f"{target.name}.{MARK}")


def check_free(target: Path, *, folder: bool, replace: bool) -> None:
    """Raises :class:`ExportError` where something lies at ``target`` that an export may not take the place of."""
    if "://" in str(target):
        raise ExportError(f"{target} is a URL: export to a local folder and copy it there.")
    if folder and target.is_dir() and not any(target.iterdir()):
        return
    if not target.exists() and not target.is_symlink():
        return
    ours = not target.is_symlink() and target.is_dir() == folder and mark_of(target, folder=folder).exists()
    if not ours:
        raise ExportError(f"{target} exists and is not an export of tam-dist: remove it or choose another --out.")
    if not replace:
        raise ExportError(f"{target} is an export already: choose another --out, or --replace to write it anew.")


@contextmanager
def whole_or_nothing(target: Path, record: dict[str, object], *, folder: bool) -> Iterator[Path]:
    """A path to write to: an empty folder, or a file that is not there yet. What is written appears at ``target``, with
    ``record`` as its ``export.json``, when the block ends, and vanishes where it raises.

    Raises :class:`StorageError` for whatever the disk refuses.
    """
    partial = target.with_name(f".{target.name}.{socket.gethostname()}-{os.getpid()}{_PARTIAL}")
    with _disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target)
        try:
            if folder:
                partial.mkdir()
            yield partial
            text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
            if folder:
                (partial / MARK).write_text(text, encoding="utf-8")
                if target.is_dir() and any(target.iterdir()):
                    old = partial.with_suffix(".old")
                    target.rename(old)
                    partial.rename(target)
                    shutil.rmtree(old)
                else:
                    partial.rename(target)  # also over an empty folder
            else:
                partial.replace(target)
                mark_of(target, folder=False).write_text(text, encoding="utf-8")
        finally:
            _remove(partial)


@contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error).splitlines()[0]
        raise StorageError(
            f"Writing {target} failed ({reason}) and nothing was left there: free space, or choose another --out."
        ) from error


def _sweep(target: Path) -> None:
    """Remove what killed exports to the same place left behind, on this machine."""
    for stray in target.parent.glob(f".{_escaped(target.name)}.{_escaped(socket.gethostname())}-*{_PARTIAL}"):
        pid = stray.name.removesuffix(_PARTIAL).rpartition("-")[2]
        if pid.isdigit() and not _alive(int(pid)):
            _remove(stray)


def _escaped(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _alive(pid: int) -> bool:
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _remove(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
