"""One export from beginning to end: everything is checked before anything is written.

>>> export_project(Project.open("runs/cat"), "out/cat", ExportRequest("coco"))  # doctest: +SKIP
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import tam_dist
from tam_dist.errors import ExportError
from tam_dist.export.footage import Footage
from tam_dist.export.formats import check_fits, find_format
from tam_dist.export.request import ExportRequest
from tam_dist.export.target import check_free, whole_or_nothing
from tam_dist.project import Project


@dataclass(frozen=True)
class Exported:
    """What was written: ``frames`` of them, ``untracked`` more that were asked for and are not there yet."""

    path: Path
    frames: int
    untracked: int
    objects: tuple[str, ...]
    seconds: float


def export_project(project: Project, out: str | os.PathLike[str], request: ExportRequest, *, replace: bool = False) -> Exported:
    """Write the masks that ``request`` asks for to ``out``, with an ``export.json`` that says what they are.

    ``out`` appears when it is whole. ``replace`` writes over an earlier export, and over nothing else. Raises
    :class:`ExportError`, :class:`PromptError` for an unknown object, :class:`StorageError`, :class:`VideoError` where the
    format needs the pictures of a video that cannot be read.
    """
    form = find_format(request.format)
    target = Path(out).absolute() if "://" not in str(out) else Path(out)
    if form.suffix and target.suffix.lower() != form.suffix:
        raise ExportError(f"The format {form.name} is a file whose name ends in {form.suffix}, not {target.name}.")
    if request.images and not form.images:
        raise ExportError(f"The format {form.name} has no place for the source's frames: leave out --images.")
    if "://" in str(out):
        raise ExportError(f"{out} is a URL: export to a local folder and copy it there.")
    check_free(target, folder=form.is_folder, replace=replace)
    write = form.load()
    footage = Footage(project, request)
    check_fits(form, footage)
    start = time.monotonic()
    with whole_or_nothing(target, _record(project, footage), folder=form.is_folder) as partial:
        write(footage, partial)
    seconds = time.monotonic() - start
    return Exported(target, len(footage), footage.untracked, tuple(o.name for o in footage.objects), seconds)


def _record(project: Project, footage: Footage) -> dict[str, object]:
    source = footage.video
    return {
        "tool": "tam-dist",
        "version": tam_dist.__version__,
        "project": project.location,
        "request": asdict(footage.request),
        "source": {
            "uri": source.uri,
            "fingerprint": source.fingerprint,
            "frames": source.frame_count,
            "width": source.width,
            "height": source.height,
            "fps": str(source.fps),
        },
        "frames": {
            "first": footage.numbers[0],
            "last": footage.numbers[-1],
            "every": footage.request.every,
            "exported": len(footage),
            "untracked": footage.untracked,
        },
        "objects": [asdict(o) for o in footage.objects],
        "models": {role: asdict(model) for role, model in project.models.items()},
    }
