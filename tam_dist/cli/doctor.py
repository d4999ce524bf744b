"""``tam-dist doctor``: whether this machine has what tracking needs."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

import typer

from tam_dist.cli.app import app
from tam_dist.cli.output import result
from tam_dist.errors import ExitCode, TamDistError

_PACKAGES = ("torch", "segment-anything", "ray", "av", "decord", "zarr", "opencv-python-headless", "gradio")


@app.command()
def doctor() -> None:
    """Check packages, devices and weights; exit code 5 where something needed is missing."""
    result(f"python          {platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores")
    checks: dict[str, Callable[[], str]] = {name: lambda name=name: _version(name) for name in _PACKAGES}  # type: ignore[misc]
    checks |= {"device": _device, "xmem weights": lambda: _weights("xmem"), "sam weights": lambda: _weights("sam")}
    missing = [name for name, check in checks.items() if not _report(name, check)]
    if missing:
        raise typer.Exit(ExitCode.RESOURCES)


def _report(name: str, check: Callable[[], str]) -> bool:
    try:
        result(f"{name:<15} {check()}")
    except (TamDistError, PackageNotFoundError) as error:
        optional = name == "decord"  # it has no wheels for arm64; PyAV does all the reading there
        result(f"{name:<15} {'not here (PyAV reads everything)' if optional else f'MISSING: {error}'}")
        return optional
    return True


def _version(package: str) -> str:
    return version(package)


def _device() -> str:
    import torch

    if not torch.cuda.is_available():
        return "no GPU: models run on the CPU"
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return f"{len(names)} GPU: {', '.join(names)}"


def _weights(kind: str) -> str:
    from tam_dist.config import load_config
    from tam_dist.models.checkpoints import resolve

    models = load_config().models
    return str(resolve(models.sam, "sam") if kind == "sam" else resolve(models.xmem, "xmem"))
