"""Masks and boxes of other tools become a project to be reviewed, or prompts to be tracked from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from storage.manifest import Manifest
from storage.project_store import ProjectStore
from tam_dist.config import Config, to_dict
from tam_dist.errors import ExportError, MaskFileError
from tam_dist.export.footage import video_name
from tam_dist.export.target import check_free, whole_or_nothing
from tam_dist.importing.annotations import Annotations, painted
from tam_dist.importing.files import read_coco, read_cvat, read_text
from tam_dist.importing.matching import first_prompts, frames_of, prompts_on
from tam_dist.importing.pictures import read_pictures
from tam_dist.media.reader import open_video
from tam_dist.preparation import model_records
from tam_dist.prompt_writing import write_prompts
from tam_dist.prompts import in_given_order, objects_of
from tam_dist.types import ChunkResult, Mask, Origin, VideoInfo


@dataclass(frozen=True)
class Imported:
    """What became of a file: ``frames`` of the video have masks or boxes from it, ``left_out`` of its own frames are not in the
    video, ``without`` of the video's have none; ``objects`` by name with their ids here; ``resampled`` frames had another size;
    ``overlapping`` pixels were in two masks and went to the later one; ``notes`` for people.
    """

    path: str
    form: str
    frames: int
    left_out: int
    without: int
    objects: dict[str, int]
    resampled: int
    overlapping: int
    notes: tuple[str, ...]


def read_annotations(source: str | os.PathLike[str], video: str) -> Annotations:
    """Whatever lies at ``source``; of several videos, the one named as ``video``. Raises :class:`MaskFileError`."""
    path, name = Path(source), video_name(video)
    if not path.exists():
        raise MaskFileError(f"There is nothing at {path}: check the path.")
    if path.is_dir():
        for inside in ("annotations.json", "instances.json", "annotations.xml", "gt/gt.txt"):
            if (path / inside).is_file():
                return read_annotations(path / inside, video)
        return read_pictures(path, name)
    match path.suffix.lower():
        case ".json":
            return read_coco(path, name)
        case ".txt":
            return read_text(path)
        case ".xml" | ".zip":
            return read_cvat(path)
    raise MaskFileError(
        f"{path} is none of what can be imported: a folder of PNGs, COCO or YouTube-VIS JSON, MOTS, MOT, CVAT XML."
    )


def import_masks(
    source: str, video: str, out: str, config: Config, *, first_frame: int | None = None, force: bool = False
) -> Imported:
    """A finished project at ``out`` with the masks of ``source``. ``first_frame`` is the number that ``source`` gives to the
    video's first frame, None to find out. Frames that it says nothing of are untracked and empty; the first mask of each object
    goes into the prompt log too.

    ``config`` should be settled. Raises :class:`MaskFileError`, :class:`VideoError`, :class:`ProjectExistsError`.
    """
    found = read_annotations(source, video)
    if not found.has_masks:
        raise MaskFileError(f"{found.where} has boxes and no masks: import them with --as prompts, and track from those.")
    with open_video(video, reader=config.media.reader) as reader:
        info, pts = reader.info, reader.pts
    numbers = frames_of(found, info, first_frame)
    prompts = [p for p in first_prompts(found, numbers, info) if isinstance(p.data, Mask)]
    order = {name: index for index, name in enumerate(found.names)}
    objects = objects_of(sorted(prompts, key=lambda p: order[p.object_name]))
    ids = np.zeros(len(found.names) + 1, np.uint8 if len(objects) <= 254 else np.uint16)
    for item in objects:
        ids[order[item.name] + 1] = item.id
    manifest = Manifest(info, config.tracking.chunk_size, objects, model_records(config), to_dict(config))
    if force and ProjectStore.exists(out):
        ProjectStore.discard(out)
    counts = {"resampled": 0, "overlapping": 0}
    with ProjectStore.create(out, manifest, pts) as store:
        store.append_prompts(in_given_order(prompts))
        for chunk in range(manifest.chunk_count):
            frames = manifest.chunk_frames(chunk)
            labels = np.zeros((len(frames), info.height, info.width), ids.dtype)
            quality = np.full((len(frames), len(objects)), np.nan, np.float32)
            origin = np.full(quality.shape, Origin.UNTRACKED, np.uint8)
            for row, frame in enumerate(frames):
                if frame not in numbers:
                    continue
                masks = found.masks(numbers[frame], info.height, info.width)
                where = f"{found.where}, frame {numbers[frame]},"
                drawn, twice = painted(masks, info.height, info.width, len(found.names), where)
                labels[row], quality[row], origin[row] = ids[drawn], 1, Origin.PROMPTED
                counts["overlapping"] += twice
                counts["resampled"] += any(mask.shape != (info.height, info.width) for _, mask in masks)
            store.commit(ChunkResult(chunk, frames.start, labels, quality, origin))
        store.set_state("done")
        where = str(store.location)
    return _report(where, found, numbers, info, {o.name: o.id for o in objects}, counts)


def import_prompts(
    source: str, video: str, out: str, *, every: int | None = None, first_frame: int | None = None, replace: bool = False
) -> Imported:
    """A folder at ``out`` with ``prompts.json`` and the masks it names, to be edited and given to ``tam-dist track --prompts``:
    each object where it first appears, and on each ``every``-th frame.
    """
    found = read_annotations(source, video)
    with open_video(video) as reader:
        info = reader.info
    if every is not None and every < 1:
        raise ExportError(f"--every {every} must be 1 or more.")
    numbers = frames_of(found, info, first_frame)
    target = Path(out).absolute()
    check_free(target, folder=True, replace=replace)
    prompts = first_prompts(found, numbers, info)
    if every is not None:
        asked = {(p.frame, p.object_name) for p in prompts}
        more = (p for frame in numbers if frame % every == 0 for p in prompts_on(found, frame, numbers[frame], info))
        prompts += [p for p in more if (p.frame, p.object_name) not in asked]
    names = list(dict.fromkeys(p.object_name for p in prompts))
    resampled = found.size is not None and found.size != (info.width, info.height)
    record: dict[str, object] = {"tool": "tam-dist", "imported": found.where, "format": found.form, "video": info.uri}
    with whole_or_nothing(target, record, folder=True) as folder:
        write_prompts(folder, prompts, names)
    counts = {"resampled": len({p.frame for p in prompts}) if resampled else 0, "overlapping": 0}
    return _report(str(target / "prompts.json"), found, numbers, info, {n: i for i, n in enumerate(names, 1)}, counts)


def _report(
    path: str, found: Annotations, numbers: dict[int, int], info: VideoInfo, objects: dict[str, int], counts: dict[str, int]
) -> Imported:
    without = info.frame_count - len(numbers)
    left_out = len(found.frames) - len(numbers)
    return Imported(path, found.form, len(numbers), left_out, without, objects, **counts, notes=tuple(found.notes))
