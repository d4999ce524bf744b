"""project.json round trips; a newer or damaged one is refused in one sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction

import pytest

from storage.location import Location
from storage.manifest import SCHEMA_VERSION, Manifest
from tam_dist.config import from_dict, load_config
from tam_dist.errors import ProjectError, SchemaError


def test_round_trip(manifest: Manifest, project: Location) -> None:
    manifest.write(project)
    found = Manifest.read(project)
    assert found == manifest
    assert found.source.fps == Fraction(30000, 1001)
    assert from_dict(dict(found.config)) == load_config(["tracking.checkpoint_every=1"])


def test_grid(manifest: Manifest) -> None:
    assert manifest.chunk_count == 5
    assert [f for i in range(5) for f in manifest.chunk_frames(i)] == list(range(18))
    assert manifest.chunk_frames(4) == range(16, 18)
    assert len(manifest.chunk_frames(5)) == 0


def test_no_project(project: Location) -> None:
    with pytest.raises(ProjectError, match=r"is not a tam-dist project, it has no project\.json: check the path\.$"):
        Manifest.read(project)


def test_a_newer_schema_is_refused_even_if_it_looks_different(project: Location) -> None:
    (project / "project.json").write(json.dumps({"schema_version": SCHEMA_VERSION + 1, "anything": []}).encode())
    with pytest.raises(SchemaError, match=r"project\.json was written by a newer tam-dist \(schema 2, .*upgrade tam-dist\.$"):
        Manifest.read(project)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[1]",
        lambda text: text.replace('"width"', '"wide"'),
        lambda text: text.replace('"objects"', '"things"'),
        lambda text: text.replace('"30000/1001"', '"30000/0"'),
        lambda text: text.replace('"colour"', '"tint"'),
        lambda text: text.replace('"schema_version": 1', '"schema_version": "one"'),
    ],
)
def test_a_damaged_manifest_is_refused(manifest: Manifest, project: Location, damage: object) -> None:
    (project / "project.json").write(damage(manifest.to_json()).encode())  # type: ignore[operator]
    with pytest.raises(SchemaError, match=r"project\.json is damaged \(.*\): restore it") as caught:
        Manifest.read(project)
    assert "\n" not in str(caught.value)


def test_names_that_are_not_ascii(manifest: Manifest, project: Location) -> None:
    odd = replace(manifest, objects=tuple(replace(o, name=f"кот\udcff {o.id}") for o in manifest.objects))
    odd.write(project)
    assert Manifest.read(project) == odd
