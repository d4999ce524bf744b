"""From "track this video with these prompts" to a job: the project is made or found, everything is checked before anything
runs.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from storage.location import Location
from storage.manifest import Manifest, ModelRecord
from storage.project_store import ProjectStore
from tam_dist.config import Config, RuntimeConfig, flat, from_dict, given_settings, load_config, to_dict
from tam_dist.config_rules import DECIDING, KEPT, within
from tam_dist.coordination.video import VideoJob
from tam_dist.due import due_work, most_segments
from tam_dist.errors import ConfigError, ProjectError, ProjectExistsError, StorageError, VideoError, WeightsError
from tam_dist.integrity import drop_damaged
from tam_dist.media.reader import open_video
from tam_dist.media.source import absolute, same_content
from tam_dist.media.source import resolve as locate
from tam_dist.models.checkpoints import Kind, resolve, sha256
from tam_dist.monitoring.marks import is_of_one_video
from tam_dist.monitoring.report import REPORT
from tam_dist.prompts import already_asked, objects_of, validate
from tam_dist.tracking.spec import VideoGrid
from tam_dist.types import Prompt, VideoInfo

#: XMem weights of fewer bytes are those of a small network; official ones have 250 MB.
_SMALL = 64 << 20
#: Where weights lie does not matter: they are known by their digest.
_WEIGHTS = ("models.xmem", "models.sam")
#: Readers that can be asked for by name; a folder of images has its own.
_NAMED_READERS = ("decord", "pyav")


def prepare(video: str, prompts: Sequence[Prompt], out: str, config: Config, *, force: bool = False) -> VideoJob:
    """Make the project at ``out``, or find it there and check that it is about the same; nothing is tracked yet.

    ``config`` should be settled (:func:`settle`): it is kept in the project. A project of the same video, prompts and
    settings is continued. Another one is refused if it holds masks; ``force`` discards them and starts anew. Raises
    :class:`VideoError`, :class:`PromptError`, :class:`ProjectExistsError`, :class:`WeightsError`, :class:`StorageError`.
    """
    with open_video(absolute(video), reader=config.media.reader) as reader:
        info, pts = reader.info, reader.pts
    validate(prompts, info)
    models = model_records(config)
    exists = ProjectStore.exists(out)
    if exists and not force:
        store = ProjectStore.open(out, write=False)
        _complete_log(store, prompts)
        try:
            _check_same(store, info, prompts, config)
        except ProjectExistsError:
            if store.committed:
                raise
            force = True  # a first try, with wrong weights say, that left no mask to lose
        else:
            return job_of(store)
    if not exists and _is_of_a_run(Location.parse(out)):
        raise ProjectExistsError(f"{out} is the folder of a run: choose another --out for a single video.")
    asked = Counter(prompt.object_name for prompt in prompts)
    manifest = Manifest(info, config.tracking.chunk_size, objects_of(prompts), models, to_dict(config), asked=asked)
    if force:
        ProjectStore.discard(out)
    with ProjectStore.create(out, manifest, pts) as store:
        store.append_prompts(prompts)
        return job_of(store)


def _is_of_a_run(folder: Location) -> bool:
    """Whether there is the report of a run with videos in folders of their own; not what a project leaves behind that was
    discarded.
    """
    report = (folder / REPORT).read()
    return report is not None and not is_of_one_video(report, folder.name)


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
        found = replace(source, fingerprint=locate(absolute(video)).fingerprint())
    except VideoError:
        if absolute(source.uri) != absolute(video):
            raise
        found = source
    _check_same(store, found, prompts, config)
    return store.manifest


def model_records(config: Config) -> dict[str, ModelRecord]:
    """The weights that ``config`` names, by role. Raises :class:`WeightsError` where they are missing."""
    return {"xmem": _model_record(config.models.xmem, "xmem"), "sam": _model_record(config.models.sam, "sam")}


def job_of(store: ProjectStore) -> VideoJob:
    """The job that continues a project, from its own records alone."""
    source = store.manifest.source
    grid = VideoGrid(source.width, source.height, source.frame_count, store.manifest.chunk_size)
    config = from_dict(dict(store.manifest.config))
    segments = most_segments(config.tracking, source.frame_count)
    return VideoJob(str(store.location), source.uri, _reader_of(source), grid, config.media.on_damage, segments)


def continue_project(where: str, settings: Sequence[str] = (), *, video: str | None = None) -> tuple[VideoJob, Config]:
    """The job and settings of an existing project, all that was lost or garbled in it made due again.

    ``settings`` may change how it runs (``cluster``, ``credits``, ``runtime.device``) and say where its weights lie now;
    ``video`` says where its video lies now. Raises :class:`ConfigError` for a setting that would change the masks, and
    :class:`ProjectError` where the video or the weights are gone or others.
    """
    store = ProjectStore.open(where, write=False)
    manifest = store.manifest
    config = _with_settings(from_dict(dict(manifest.config)), settings, where)
    _check_video(manifest.source, where, video)
    drop_damaged(where)
    if len(due_work(store).up_to_date) < manifest.chunk_count:  # a finished project needs no weights
        _check_weights(manifest, config, where)
    if video is not None and absolute(video) != manifest.source.uri:
        with ProjectStore.open(where, write=True) as writing:
            writing.move_source(absolute(video))
    return job_of(store), config


def settle(config: Config, where: str | None = None) -> Config:
    """``config`` with what suits this machine written down, since a project may be continued on another: the number of threads,
    how they are shared out and the networks' precision. Each changes at least the last bits.

    Where nothing is asked for, they are those of the project at ``where``, or of the first of the projects below it; then
    this machine's.
    """
    from tam_dist.models.runtime import precision_of  # torch takes its time

    asked, stored = config.runtime, None if where is None else _stored_runtime(where)
    usual = stored or asked
    threads = asked.threads or usual.threads or os.cpu_count() or 1
    precision = asked.precision if asked.precision != "auto" else usual.precision
    ahead = asked.encode_ahead if asked.encode_ahead != "auto" else usual.encode_ahead
    settled = replace(
        asked,
        threads=threads,
        precision=precision_of(asked).value if precision == "auto" else precision,
        encode_ahead=("on" if _is_small(config.models.xmem) else "off") if ahead == "auto" else ahead,
    )
    return replace(config, runtime=settled)


def _stored_runtime(where: str) -> RuntimeConfig | None:
    folder = Location.parse(where)
    places = [folder, *(folder / name for name in folder.children())]
    for place in places:
        try:
            return from_dict(dict(Manifest.read(place).config)).runtime
        except (ProjectError, ConfigError, StorageError):
            continue  # no project; a damaged one is named when its turn comes
    return None


def _is_small(xmem: str) -> bool:
    """Whether encoding a frame takes about as long as all else, so that two threads each with its own work outrun two that
    share every operator. With official XMem's wide decoder they do not."""
    try:
        return resolve(xmem, "xmem").stat().st_size < _SMALL
    except (WeightsError, OSError):
        return True  # named when they are needed


def _complete_log(store: ProjectStore, prompts: Sequence[Prompt]) -> None:
    """The command that made the project may have died before it had written down all prompts; repeated, it goes on."""
    existing = store.prompts()
    missing = [p for p in prompts if not already_asked([p], existing)]
    given = Counter(p.object_name for p in existing)
    if missing and all(given[p.object_name] < store.manifest.asked.get(p.object_name, 0) for p in missing):
        store.append_prompts(missing)


def _with_settings(config: Config, settings: Sequence[str], where: str) -> Config:
    """The project's ``config`` with what ``settings`` may change."""
    asked = load_config(settings)
    given = tuple(given_settings(settings))
    stored = flat(config)
    for name, value in flat(asked).items():
        if within(name, given) and within(name, (*DECIDING, *KEPT)) and name not in _WEIGHTS and value != stored[name]:
            raise ConfigError(
                f"{where} was made with {name}={stored[name]}, and {value} would give other masks: leave it out, "
                "or start another project with tam-dist track."
            )
    config.credits, config.cluster = asked.credits, asked.cluster
    config.runtime.device = asked.runtime.device
    for name in _WEIGHTS:
        if within(name, given):
            setattr(config.models, name.removeprefix("models."), flat(asked)[name])
    return config


def _check_video(source: VideoInfo, where: str, video: str | None) -> None:
    try:
        with open_video(absolute(video or source.uri), reader=_reader_of(source)) as reader:
            found = reader.info
    except VideoError as error:
        if video is not None or "://" in source.uri or Path(source.uri).exists():
            raise
        raise ProjectError(f"{source.uri}, the video of {where}, is gone: say where it lies now with --video.") from error
    if not _same_video(source, found):
        raise ProjectError(
            f"{video or source.uri} is not the video that {where} was made for (or it has changed since): put the original "
            "back, or say where it lies with --video."
        )


def _same_video(one: VideoInfo, other: VideoInfo) -> bool:
    """By content; where the two fingerprints are of different kinds, by all that is known of the frames as well."""
    known = [(v.frame_count, v.width, v.height, v.time_base) for v in (one, other)]
    return known[0] == known[1] and same_content(one.fingerprint, other.fingerprint)


def _check_weights(manifest: Manifest, config: Config, where: str) -> None:
    for role, record in model_records(config).items():
        if role in manifest.models and manifest.models[role].sha256 != record.sha256:
            raise ProjectError(
                f"{where} was made with other {role} weights than {record.name} is now (SHA-256 "
                f"{manifest.models[role].sha256[:12]}…): say where those lie with models.{role}=FILE."
            )


def _reader_of(source: VideoInfo) -> str:
    return source.reader if source.reader in _NAMED_READERS else "auto"


def _model_record(name: str, role: Kind) -> ModelRecord:
    path = resolve(name, role)
    status = path.stat()
    return ModelRecord(name, _digest(path, status.st_size, status.st_mtime_ns))


@lru_cache(maxsize=8)
def _digest(path: Path, size: int, mtime_ns: int) -> str:  # noqa: ARG001 (they tell whether the file is still the same)
    """Remembered, because a corpus asks for each of its videos, and the largest SAM has 2.4 GB."""
    return sha256(path)


def _check_same(store: ProjectStore, video: VideoInfo, prompts: Sequence[Prompt], config: Config) -> None:
    where, manifest = store.location, store.manifest
    choice = "choose another --out, or discard it and start anew with tam-dist track --force"
    if not _same_video(manifest.source, video):
        raise ProjectExistsError(f"{where} is a project of another video, {manifest.source.uri}: {choice}.")
    existing = store.prompts()
    if existing and not already_asked(prompts, existing):
        raise ProjectExistsError(f"{where} is a project of the same video with other prompts: {choice}.")
    for role, record in model_records(config).items():
        if role not in manifest.models or manifest.models[role].sha256 != record.sha256:
            raise ProjectExistsError(f"{where} was made with other {role} weights ({_name_of(manifest, role)}): {choice}.")
    changed = _first_difference(manifest.config, config)
    if changed is not None:
        raise ProjectExistsError(f"{where} was made with another {changed}: {choice}.")


def _name_of(manifest: Manifest, role: str) -> str:
    return manifest.models[role].name if role in manifest.models else "none"


def _first_difference(stored: Mapping[str, Any], asked: Config) -> str | None:
    """Weights are compared by content, not by where they lie.

    A setting that the project's version did not have stays what it amounted to then, and today's default is no wish for
    another: the same command goes on with an old project after an update.
    """
    before, usual = flat(from_dict(dict(stored))), flat(load_config())
    for name, value in flat(asked).items():
        section, _, key = name.partition(".")
        unknown = key not in stored.get(section, {}) and value == usual[name]
        if within(name, (*DECIDING, *KEPT)) and section != "models" and before[name] != value and not unknown:
            return f"{name} ({before[name]}, now {value})"
    return None
