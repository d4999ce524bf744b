"""What a module may bring along: arrows between packages point one way, and quick commands stay quick."""

from __future__ import annotations

import subprocess
import sys

import pytest


def brought_by(statements: str) -> set[str]:
    """All modules that a fresh process has after these statements."""
    script = f"{statements}\nimport sys; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    return set(done.stdout.split())


def test_the_schedule_knows_neither_its_watchers_nor_its_workers() -> None:
    brought = brought_by("import tam_dist.coordination.service, tam_dist.coordination.inline")
    assert "tam_dist.coordination.scheduler" in brought
    assert not {name for name in brought if name.startswith(("tam_dist.monitoring", "tam_dist.workers", "actors"))}
    assert not brought & {"torch", "ray", "zarr"}


@pytest.mark.parametrize("module", ["status.look", "cancelling.cancel"])
def test_looking_and_cancelling_need_neither_torch_nor_ray(module: str) -> None:
    name, function = module.split(".")
    brought = brought_by(f"from tam_dist.monitoring.{name} import {function}")
    assert not brought & {"torch", "ray", "av", "cv2"}
