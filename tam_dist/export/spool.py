"""Text that belongs to an object, gathered frame by frame beside the export and read back whole: one track after the other,
where a video is read one frame after the other.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Hashable
from pathlib import Path
from types import TracebackType
from typing import IO, Self

_HELD = 1 << 16  # characters of one part held in memory; a file kept open for each would run into the limit of a process


class Spool:
    """Parts by key, each appended to and then copied out once; use it as a context, after which its files are gone."""

    def __init__(self, beside: Path) -> None:
        """``beside``: a path on the disk that the export goes to, which is the one that has room."""
        self._folder = Path(tempfile.mkdtemp(prefix=f".{beside.name}.", suffix=".partial", dir=beside.parent))
        self._held: dict[Hashable, list[str]] = {}
        self._sizes: dict[Hashable, int] = {}
        self._files: dict[Hashable, Path] = {}

    def append(self, key: Hashable, text: str) -> None:
        self._held.setdefault(key, []).append(text)
        size = self._sizes[key] = self._sizes.get(key, 0) + len(text)
        if size > _HELD:
            self._flush(key)

    def copy(self, key: Hashable, to: IO[str]) -> None:
        """Write the part to ``to``."""
        if key in self._files:
            with self._files[key].open(encoding="utf-8") as file:
                shutil.copyfileobj(file, to)
        to.writelines(self._held.get(key, ()))

    def _flush(self, key: Hashable) -> None:
        path = self._files.setdefault(key, self._folder / str(len(self._files)))
        with path.open("a", encoding="utf-8") as file:
            file.writelines(self._held[key])
        self._held[key], self._sizes[key] = [], 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
