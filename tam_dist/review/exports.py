"""Exports that people ask for in the pane: one after the other, into a folder that goes with the pane."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tam_dist.export.formats import FORMATS
from tam_dist.export.request import ExportRequest
from tam_dist.project import Project

#: A picture of frames spread over the video; the others are those of ``tam-dist export``.
SHEET = "contact-sheet"
#: Exports kept for downloading.
_KEPT = 12


def format_choices() -> list[tuple[str, str]]:
    """Titles and names."""
    return [("Contact sheet: frames with their masks, PNG", SHEET), *((form.title, form.name) for form in FORMATS.values())]


@dataclass
class Exports:
    _folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="tam-dist-exports-")))
    _worker: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "export"))
    _done: dict[str, Path] = field(default_factory=dict)

    def start(self, location: str, name: str, form: str) -> Future[str]:
        """The id under which :meth:`file` has it then. The future raises :class:`ExportError`, :class:`StorageError`."""
        return self._worker.submit(self._export, location, name, form)

    def file(self, identifier: str) -> Path:
        """Raises :class:`KeyError`."""
        return self._done[identifier]

    def close(self) -> None:
        self._worker.shutdown(wait=False, cancel_futures=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _export(self, location: str, name: str, form: str) -> str:
        identifier = uuid.uuid4().hex
        base = self._folder / identifier
        base.mkdir()
        project = Project.open(location)
        if form == SHEET:
            path = project.write_contact_sheet(base / f"{name}.png")
        else:
            suffix = FORMATS[form].suffix if form in FORMATS else ""
            request = ExportRequest(form, partial=True)
            from tam_dist.export.run import export_project

            path = export_project(project, base / f"{name}-{form}{suffix}", request).path
            if path.is_dir():
                packed = shutil.make_archive(str(path), "zip", path.parent, path.name)
                shutil.rmtree(path)
                path = Path(packed)
        self._done[identifier] = path
        while len(self._done) > _KEPT:
            shutil.rmtree(self._done.pop(next(iter(self._done))).parent, ignore_errors=True)
        return identifier
