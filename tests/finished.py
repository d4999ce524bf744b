"""Finished projects with masks given beforehand, made without any network: what exporters, importers and viewers start from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from storage.manifest import Manifest, ModelRecord
from storage.project_store import ProjectStore
from tam_dist.config import load_config, to_dict
from tam_dist.media.reader import open_video
from tam_dist.project import Project
from tam_dist.prompts import colour_of
from tam_dist.types import ChunkResult, LabelArray, Origin, TrackedObject, VideoInfo

CHUNK = 8


def finished_project(
    where: Path, video: Path | VideoInfo, labels: LabelArray, names: Sequence[str], *, tracked: int | None = None
) -> Project:
    """``labels`` (T, H, W) with object i of ``names`` as i + 1; only the first ``tracked`` chunks are stored, None for all."""
    if isinstance(video, VideoInfo):
        info, pts = video, np.arange(video.frame_count, dtype=np.int64)
    else:
        with open_video(video) as reader:
            info, pts = reader.info, reader.pts
    assert labels.shape == (info.frame_count, info.height, info.width)
    chunks = (labels[i : i + CHUNK] for i in range(0, len(labels), CHUNK))
    return store_chunks(where, info, pts, list(chunks)[:tracked], names)


def store_chunks(
    where: Path, info: VideoInfo, pts: np.ndarray, chunks: Iterable[LabelArray], names: Sequence[str], chunk_size: int = CHUNK
) -> Project:
    """The same, from an iterable that gives a chunk of labels at a time."""
    config = load_config([f"tracking.chunk_size={chunk_size}"])
    objects = tuple(TrackedObject(i, name, colour_of(i)) for i, name in enumerate(names, 1))
    models = {role: ModelRecord("embedded", "ab" * 32) for role in ("xmem", "sam")}
    with ProjectStore.create(where, Manifest(info, chunk_size, objects, models, to_dict(config)), pts) as store:
        for index, rows in enumerate(chunks):
            quality = np.full((len(rows), len(objects)), 0.875, np.float32)
            origin = np.full(quality.shape, Origin.PROPAGATED, np.uint8)
            store.commit(ChunkResult(index, index * chunk_size, rows, quality, origin))
        store.set_state("done")
    return Project.open(where)


def shapes(frames: int, height: int, width: int, objects: int = 3) -> LabelArray:
    """uint8 (T, H, W) that has what run-length codes get wrong: holes, several parts, single pixels, all four edges, whole
    columns, an object that comes late (the last one) and one that is away for a while (the second).
    """
    labels = np.zeros((frames, height, width), np.uint8)
    for t, frame in enumerate(labels):
        x = 3 + t % max(1, width - 24)
        frame[5:21, x : x + 16] = 1
        frame[9:13, x + 4 : x + 9] = 0  # a hole
        frame[height - 2, 1] = frame[height - 1, 0] = 1  # single pixels at a corner, joined by it alone
        if objects > 1 and not frames // 3 <= t < frames // 2:
            frame[:, width - 4 : width - 1] = 2  # whole columns
            frame[0, :5] = 2
            frame[height - 6 :, width // 2 :] = 2
        if objects > 2 and t >= 2:
            frame[height // 2, ::2] = 3  # a dotted line: many parts
            frame[height // 2 + 3 : height // 2 + 5, : width // 3] = 3
        for id_ in range(4, objects + 1):
            frame[2, (3 * id_) % width] = id_
    return labels
