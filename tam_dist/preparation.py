"""From "track this video with these prompts" to a job: the project is made or found, everything is checked before anything
runs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from storage.manifest import Manifest, ModelRecord
from storage.project_store import ProjectStore
from tam_dist.config import Config, from_dict, to_dict
from tam_dist.coordination.video import VideoJob
from tam_dist.errors import ProjectError, ProjectExistsError, VideoError
from tam_dist.media.reader import open_video
from tam_dist.media.source import resolve as locate
from tam_dist.models.checkpoints import Kind, resolve, sha256
from tam_dist.prompts import already_asked, objects_of, validate
from tam_dist.tracking.spec import VideoGrid
from tam_dist.types import Prompt

#: Settings that belong to the project. The others may differ from run to run.
_DECISIVE = ("models", "propagation", "segmentation", "tracking", "runtime")
#: Readers that can be asked for by name; a folder of images has its own.
_NAMED_READERS = ("decord", "pyav")


def prepare(video: str, prompts: Sequence[Prompt], out: str, config: Config, *, force: bool = False) -> VideoJob:
    """Make the project at ``out``, or find it there and check that it is about the same; nothing is tracked yet.

    ``config`` should be settled (:func:`settle`): it is kept in the project. A project of the same video, prompts and
    settings is continued. Another one is refused if it holds masks; ``force`` discards them and starts anew. Raises
    :class:`VideoError`, :class:`PromptError`, :class:`ProjectExistsError`, :class:`WeightsError`, :class:`StorageError`.
    """
    with open_video(video, reader=config.media.reader) as reader:
        info, pts = reader.info, reader.pts
    validate(prompts, info)
    models = model_records(config)
    if ProjectStore.exists(out) and not force:
        store = ProjectStore.open(out, write=False)
        try:
            _check_same(store, info.fingerprint, prompts, config)
        except ProjectExistsError:
            if store.committed:
                raise
            force = True  # a first try, with wrong weights say, that left no mask to lose
        else:
            if not store.prompts():  # the command that made it died before it could write them down
                store.append_prompts(prompts)
            return job_of(store)
    manifest = Manifest(info, config.tracking.chunk_size, objects_of(prompts), models, to_dict(config))
    if force:
        ProjectStore.discard(out)
    with ProjectStore.create(out, manifest, pts) as store:
        store.append_prompts(prompts)
        return job_of(store)


def find_done(video: str, prompts: Sequence[Prompt], out: str, config: Config) -> Manifest | None:
    """What the project at ``out`` is about, where it is done and has all that :func:`prepare` would ask for; else None.

    The video is not opened, and may be gone. Raises :class:`ProjectExistsError` where the project is done but of another
    video, prompts or settings.
    """
    if not ProjectStore.exists(out):
        return None
    store = ProjectStore.open(out, write=False)
    if store.status().state != "done":
        return None
    source = store.manifest.source
    try:
        fingerprint = locate(video).fingerprint()
    except VideoError:
        if source.uri != video:
            raise
        fingerprint = source.fingerprint
    _check_same(store, fingerprint, prompts, config)
    return store.manifest


def model_records(config: Config) -> dict[str, ModelRecord]:
    """The weights that ``config`` names, by role. Raises :class:`WeightsError` where they are missing."""
    return {"xmem": _model_record(config.models.xmem, "xmem"), "sam": _model_record(config.models.sam, "sam")}


def job_of(store: ProjectStore) -> VideoJob:
    """The job that continues a project, from its own records alone."""
    source = store.manifest.source
    grid = VideoGrid(source.width, source.height, source.frame_count, store.manifest.chunk_size)
    reader = source.reader if source.reader in _NAMED_READERS else "auto"
    return VideoJob(str(store.location), source.uri, reader, grid)


def continue_project(where: str, overrides: Config | None = None) -> tuple[VideoJob, Config]:
    """The job and settings of an existing project; ``overrides`` brings the settings that do not decide the masks.

    Raises :class:`ProjectError` where the video is gone or another one.
    """
    store = ProjectStore.open(where, write=False)
    manifest = store.manifest
    with open_video(manifest.source.uri, reader=job_of(store).reader) as reader:
        found = reader.info
    if (found.frame_count, found.fingerprint) != (manifest.source.frame_count, manifest.source.fingerprint):
        raise ProjectError(
            f"{manifest.source.uri} is not the video that {where} was made for (it has changed since); put the original back."
        )
    config = from_dict(dict(manifest.config))
    if overrides is not None:
        config.credits, config.cluster = overrides.credits, overrides.cluster
        config.runtime.device = overrides.runtime.device
    return job_of(store), config


def settle(config: Config) -> Config:
    """``config`` with the number of threads written down: another number sums in another order and changes the last bits, and
    a project may be continued on another machine.
    """
    return replace(config, runtime=replace(config.runtime, threads=config.runtime.threads or os.cpu_count() or 1))


def _model_record(name: str, role: Kind) -> ModelRecord:
    path = resolve(name, role)
    status = path.stat()
    return ModelRecord(name, _digest(path, status.st_size, status.st_mtime_ns))


@lru_cache(maxsize=8)
def _digest(path: Path, size: int, mtime_ns: int) -> str:  # noqa: ARG001 (they tell whether the file is still the same)
    """Remembered, because a corpus asks for each of its videos, and the largest SAM has 2.4 GB."""
    return sha256(path)


def _check_same(store: ProjectStore, fingerprint: str, prompts: Sequence[Prompt], config: Config) -> None:
    where, manifest = store.location, store.manifest
    choice = "choose another --out, or discard it and start anew with tam-dist track --force"
    if manifest.source.fingerprint != fingerprint:
        raise ProjectExistsError(f"{where} is a project of another video, {manifest.source.uri}: {choice}.")
    existing = store.prompts()
    if existing and not already_asked(prompts, existing):
        raise ProjectExistsError(f"{where} is a project of the same video with other prompts: {choice}.")
    for role, record in model_records(config).items():
        if manifest.models[role].sha256 != record.sha256:
            raise ProjectExistsError(f"{where} was made with other {role} weights ({manifest.models[role].name}): {choice}.")
    changed = _first_difference(manifest.config, to_dict(config))
    if changed is not None:
        raise ProjectExistsError(f"{where} was made with another {changed}: {choice}.")


def _first_difference(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> str | None:
    for section in _DECISIVE:
        for key, value in asked[section].items():
            if stored[section][key] != value and (section, key) not in (("runtime", "threads"), ("runtime", "device")):
                return f"{section}.{key} ({stored[section][key]}, now {value})"
    return None
