"""Nothing is deleted or replaced but what carries tam-dist's own mark."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from storage.location import Location
from storage.manifest import Manifest
from storage.project_store import ProjectStore
from tam_dist.errors import ProjectExistsError, SchemaError
from tam_dist.types import ChunkResult

Make = Callable[..., ChunkResult]


def test_what_lies_between_a_projects_files_stays(
    project: Location, manifest: Manifest, pts: np.ndarray, chunk_result: Make
) -> None:
    with ProjectStore.create(project, manifest, pts) as store:
        store.commit(chunk_result(0), b"state")
    own = {"checkpoints": "best.pt", "commits": "notes.json", "masks.zarr": "extra"}
    for folder, name in own.items():
        (project / folder / name).write(b"mine")
    ProjectStore.discard(project)
    for folder, name in own.items():
        assert name in (project / folder).children()
    assert (project / "checkpoints").children() == ["best.pt"]


def test_a_folder_that_is_no_project_is_left_alone(project: Location) -> None:
    (project / "checkpoints" / "00000001.safetensors").write(b"mine")
    ProjectStore.discard(project)
    (project / "project.json").write(json.dumps({"name": "my web site"}).encode())
    with pytest.raises(SchemaError, match=r"project\.json is not, or no longer, a project's"):
        ProjectStore.discard(project)
    assert (project / "checkpoints").children() == ["00000001.safetensors"]


def test_masks_of_somebody_else_are_not_replaced(project: Location, manifest: Manifest, pts: np.ndarray) -> None:
    (project / "masks.zarr" / "zarr.json").write(b'{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    (project / "masks.zarr" / "theirs").write(b"mine")
    with pytest.raises(ProjectExistsError, match=r"masks\.zarr was not written by tam-dist"):
        ProjectStore.create(project, manifest, pts)
    assert (project / "masks.zarr").children() == ["theirs", "zarr.json"]
