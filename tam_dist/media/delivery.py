"""Files that must be written locally (FFmpeg seeks in what it writes) and belong elsewhere."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from tam_dist.errors import StorageError


@contextlib.contextmanager
def delivered(target: str) -> Iterator[Path]:
    """Where to write what shall lie at ``target``, a path or an fsspec URL: it is sent there when the block ends well.

    Raises :class:`StorageError` where it cannot be sent.
    """
    if "://" not in target:
        yield Path(target)
        return
    import fsspec

    with tempfile.TemporaryDirectory(prefix="tam-dist-") as folder:
        local = Path(folder) / PurePosixPath(target).name
        yield local
        try:
            fs, path = fsspec.core.url_to_fs(target)
            fs.put_file(str(local), path)
        except (OSError, ValueError, ImportError) as error:
            raise StorageError(f"{target} cannot be written: {error}") from error
