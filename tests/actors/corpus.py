"""Six small videos of different length, size and prompts, their projects, and what must be the same after any run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import tam_dist
from storage.project_store import ProjectStore
from tam_dist.config import Config
from tam_dist.coordination.video import VideoJob
from tam_dist.preparation import prepare
from tam_dist.prompts import in_given_order
from tam_dist.types import BoolArray, Prompt
from tests.tiny import moving_square, write_frames


@dataclass(frozen=True)
class Clip:
    """``kind`` chooses the prompts."""

    name: str
    frames: int
    height: int
    width: int
    kind: str


#: "clicks" and "mixed" ask SAM in the middle of a chunk: frames 11 and 20, with 8 frames a chunk.
CLIPS = (
    Clip("a", 44, 48, 64, "mixed"),
    Clip("b", 25, 64, 48, "mask"),
    Clip("c", 9, 32, 32, "clicks"),
    Clip("d", 33, 48, 80, "clicks"),
    Clip("e", 16, 40, 40, "mask"),
    Clip("f", 30, 56, 64, "mixed"),
)


def prompts(clip: Clip) -> list[Prompt]:
    def area(x: int, y: int) -> BoolArray:
        mask = np.zeros((clip.height, clip.width), bool)
        mask[y : y + 12, x : x + 12] = True
        return mask

    match clip.kind:
        case "mask":
            return [tam_dist.mask("one", area(4, 6)), tam_dist.mask("two", area(18, 4), frame=9)]
        case "clicks":
            late = min(20, clip.frames - 2)
            return [tam_dist.click("one", 10, 12), tam_dist.click("two", 20, 24, frame=late)]
        case _:
            return [
                tam_dist.mask("one", area(4, 6), frame=1),
                tam_dist.click("two", 30, 20, frame=11),
                tam_dist.click("three", 12, 30, frame=20),
                tam_dist.absent("one", 22, 24),
            ]


def write_videos(folder: Path, clips: Sequence[Clip] = CLIPS) -> dict[Clip, Path]:
    return {
        clip: write_frames(folder / clip.name, moving_square(clip.frames, seed=n, height=clip.height, width=clip.width))
        for n, clip in enumerate(clips)
    }


def projects(videos: dict[Clip, Path], out: Path, config: Config) -> list[VideoJob]:
    """A fresh project of every video."""
    return [prepare(str(path), in_given_order(prompts(clip)), str(out / clip.name), config) for clip, path in videos.items()]


def fingerprint(project: Path) -> dict[str, str]:
    """All that a run decides: every label, score and origin, the commits' content, and the names of all files."""
    store = ProjectStore.open(project, write=False)
    frames = store.manifest.frame_count
    names = [str(p.relative_to(project)) for p in project.rglob("*") if p.is_file()]
    found = {
        "labels": _digest(np.asarray(store.labels[0:frames])),
        "origin": _digest(np.asarray(store.origin[0:frames])),
        "state": json.loads((project / "state.json").read_text())["state"],
        "files": " ".join(sorted(names)),
    }
    for chunk in range(store.manifest.chunk_count):
        record = store.record(chunk)
        assert record is not None, f"{project}: chunk {chunk} is not committed"
        assert store.is_intact(chunk), f"{project}: chunk {chunk} is torn"
        found[f"chunk {chunk}"] = f"{record.digest} {record.scores} revision {record.revision}"
        numbers = store.manifest.chunk_frames(chunk)
        found[f"quality {chunk}"] = _written_out(np.asarray(store.quality[numbers.start : numbers.stop]))
    return found


def fingerprints(out: Path) -> dict[str, dict[str, str]]:
    return {project.name: fingerprint(project) for project in sorted(out.iterdir())}


def _written_out(scores: np.ndarray) -> str:
    """All of them, each told from its neighbours: of a digest nobody can say by how much it is wrong, and where."""
    return " | ".join(" ".join(f"{score:.9g}" for score in frame) for frame in scores)


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


def differences(found: dict[str, dict[str, str]], want: dict[str, dict[str, str]]) -> list[str]:
    """What is not as it should be, for people to read."""
    return [
        f"{name} {key}: {found.get(name, {}).get(key)}, not {value}"
        for name, fields in want.items()
        for key, value in fields.items()
        if found.get(name, {}).get(key) != value
    ]
