"""``tam-dist doctor``: whether this machine, or a cluster, has what tracking needs."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Annotated

import typer

from tam_dist.cli.app import Address, app
from tam_dist.cli.output import result
from tam_dist.errors import ExitCode, TamDistError

if TYPE_CHECKING:
    from actors.survey import Machine, Survey

_PACKAGES = ("torch", "segment-anything", "ray", "av", "decord", "zarr", "opencv-python-headless", "gradio")
_WIDTH = 16


@app.command()
def doctor(
    cluster: Annotated[
        bool, typer.Option("--cluster", help="Ask the machines of a Ray cluster instead, and say which presets it can run.")
    ] = False,
    address: Address = None,
) -> None:
    """Check packages, devices and weights; exit code 5 where something needed is missing."""
    if not (_check_cluster(address) if cluster else _check_machine()):
        raise typer.Exit(ExitCode.RESOURCES)


def _tell(what: str, finding: str) -> None:
    result(f"{what:<{_WIDTH - 1}} {finding}")


# --- this machine ------------------------------------------------------------------------------------------------------


def _check_machine() -> bool:
    _tell("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores")
    checks: dict[str, Callable[[], str]] = {name: lambda name=name: version(name) for name in _PACKAGES}  # type: ignore[misc]
    checks |= {"device": _device, "xmem weights": lambda: _weights("xmem"), "sam weights": lambda: _weights("sam")}
    missing = [name for name, check in checks.items() if not _report(name, check)]
    return not missing


def _report(name: str, check: Callable[[], str]) -> bool:
    try:
        _tell(name, check())
    except (TamDistError, PackageNotFoundError) as error:
        optional = name == "decord"  # it has no wheels for arm64; PyAV does all the reading there
        _tell(name, "not here (PyAV reads everything)" if optional else f"MISSING: {error}")
        return optional
    return True


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


# --- a cluster ---------------------------------------------------------------------------------------------------------


def _check_cluster(address: str | None) -> bool:
    """Whether it can run anything, and every machine that may get a worker can work."""
    from actors.survey import survey

    found = survey(address)
    _tell("cluster", f"Ray {found.ray}, {len(found.machines)} machine{'' if len(found.machines) == 1 else 's'}")
    for machine in found.machines:
        _tell(machine.address, _described(machine))
    _tell("has room for", ", ".join(found.fits) or "no preset")
    if busy := [preset for preset in found.fits if preset not in found.free]:
        _tell("busy now for", f"{', '.join(busy)}: others hold what they need; a run waits for it")
    for preset, lack in found.lacks.items():
        _tell(f"not for {preset}", lack)
    return bool(found.fits) and not _unfit(found)


def _unfit(found: Survey) -> list[Machine]:
    return [machine for machine in found.machines if machine.lacks and (machine.total.cpus or machine.total.gpus)]


def _described(machine: Machine) -> str:
    parts = [f"{machine.free.cpus:g} of {machine.total.cpus:g} CPUs free"]
    if machine.total.gpus:
        parts.append(f"{machine.free.gpus:g} of {machine.total.gpus:g} GPUs free")
    parts.append(f"object store {machine.store_bytes / 1e9:.1f} GB")
    if machine.software is not None:
        software = machine.software
        parts.append(f"tam-dist {software.tam_dist}, torch {software.torch}")
        parts += [", ".join(software.gpus)] if software.gpus else []
        parts.append(f"weights {', '.join(('embedded', *software.weights))}")
    if machine.lacks:
        parts.append(f"UNFIT: {machine.lacks}")
    return "; ".join(parts)
