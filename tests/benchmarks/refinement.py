"""What step 3 gains and costs on DAVIS: ``python -m tests.benchmarks.refinement --root DAVIS [--init click] [key=value …]``.

Every sequence is tracked with refinement off, on and deferred (``--modes``). Beside J&F it tells the same over the frames that
a mode touched (their masks came from SAM), against those frames without it; the share of frames touched; seconds; and how well
the stored quality ranks the masks it belongs to by their IoU. ``--oracle`` (one object a sequence) adds what step 3 would give
with a SAM that always finds the object, at the embedded one's resolution: its bound.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch

from storage.project_store import ProjectStore
from tam_dist.config import Config, load_config
from tam_dist.due import due_work
from tam_dist.evaluation.davis import VideoSequence, find_sequences
from tam_dist.evaluation.metrics import contour_accuracy, region_similarity
from tam_dist.evaluation.protocol import INITIALISATIONS, Initialisation, prompts_of
from tam_dist.evaluation.ranking import auroc, spearman
from tam_dist.media.reader import open_video
from tam_dist.models.sam.opening import open_segmenter
from tam_dist.preparation import prepare, settle
from tam_dist.project import Project
from tam_dist.running import run_inline
from tam_dist.tracking.opening import open_models
from tam_dist.tracking.session import TrackingSession
from tam_dist.training.quality_data import Video, track_video
from tam_dist.types import ObjectQuery, Origin, Prompt, SegmentedMask, UInt8Array


@dataclass(eq=False)
class Tally:
    """Per object and frame, by mode: J, F, quality, whether the mask is SAM's."""

    seconds: float = 0.0
    j: list[np.ndarray] = field(default_factory=list)
    f: list[np.ndarray] = field(default_factory=list)
    quality: list[np.ndarray] = field(default_factory=list)
    refined: list[np.ndarray] = field(default_factory=list)


def measure(sequence: VideoSequence, prompts: list[Prompt], config: Config, folder: Path, tally: Tally) -> None:
    job = prepare(str(sequence.frames), prompts, str(folder), config)
    began = time.perf_counter()
    (outcome,) = run_inline([job], config)
    outcome.raise_failure()
    tally.seconds += time.perf_counter() - began
    project = Project.open(outcome.project)
    chosen = range(1, len(sequence.label_files()) - 1)
    quality, origin = project.quality[:], project.origin[:]
    truths = {i: sequence.labels(i) for i in chosen}
    for column, tracked in enumerate(project.objects):
        pairs = [(np.asarray(project.labels[i] == tracked.id), truths[i] == int(tracked.name)) for i in chosen]
        tally.j.append(np.array([region_similarity(a, b) for a, b in pairs]))
        tally.f.append(np.array([contour_accuracy(a, b) for a, b in pairs]))
        tally.quality.append(quality[list(chosen), column])
        tally.refined.append(origin[list(chosen), column] == Origin.REFINED)


class Oracle:
    """Answers with the truth as 88 cells a side show it, which is what the embedded SAM's masks are made of."""

    def __init__(self, truths: Sequence[np.ndarray]) -> None:
        self._truths = truths

    def segment(
        self, frame: UInt8Array, queries: Sequence[ObjectQuery], *, frame_key: Hashable | None = None
    ) -> list[SegmentedMask]:
        assert isinstance(frame_key, tuple)
        truth = self._truths[frame_key[1]].astype(np.float32)
        side = max(truth.shape)
        cells = tuple(max(1, round(88 * n / side)) for n in truth.shape[::-1])
        coarse = cv2.resize(cv2.resize(truth, cells, interpolation=cv2.INTER_AREA), truth.shape[::-1])
        return [SegmentedMask(q.object_id, np.asarray(coarse > 0.5), 0.95) for q in queries]


def bound(sequence: VideoSequence, prompts: list[Prompt], config: Config, folder: Path) -> float:
    """J&F with the oracle."""
    job = prepare(str(sequence.frames), prompts, str(folder), config)
    models = open_models(config)
    truths = [sequence.labels(i) == 1 for i in range(len(sequence.label_files()))]
    with open_video(sequence.frames) as reader:
        frames = reader.read(0, len(truths))
    spec = due_work(ProjectStore.open(job.project, write=False)).asked.spec_at(0)
    with torch.inference_mode():
        labels = track_video(
            TrackingSession(spec, models), Video(sequence.name, frames, np.stack(truths), truths[0]), Oracle(truths)
        )
    pairs = [(labels[i] == 1, truths[i]) for i in range(1, len(truths) - 1)]
    return float(np.mean([[region_similarity(a, b), contour_accuracy(a, b)] for a, b in pairs]))


def summary(tally: Tally, off: Tally) -> dict[str, float]:
    """J&F as DAVIS means them (over objects), over the touched frames, and of the scores."""
    j, quality = np.concatenate(tally.j), np.concatenate(tally.quality)
    touched = np.concatenate(tally.refined)
    mean = [(a.mean() + b.mean()) / 2 for a, b in zip(tally.j, tally.f, strict=True)]
    known = ~np.isnan(quality)
    found = {
        "J&F": float(np.mean(mean)),
        "lowest": float(np.min(mean)),
        "share": float(touched.mean()),
        "seconds": tally.seconds,
        "auroc": auroc(quality[known], j[known] < 0.5),
        "spearman": spearman(quality[known], j[known]),
    }
    if touched.any():
        ours, theirs = ((np.concatenate(t.j)[touched].mean() + np.concatenate(t.f)[touched].mean()) / 2 for t in (tally, off))
        found |= {"J&F touched": float(ours), "untouched": float(theirs)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--year", type=int, default=2016)
    parser.add_argument("--sequences", type=lambda text: text.split(","))
    parser.add_argument("--init", choices=sorted(INITIALISATIONS), default="mask")
    parser.add_argument("--modes", type=lambda text: text.split(","), default=["off", "on", "deferred"])
    parser.add_argument("--oracle", action="store_true")
    parser.add_argument("--keep", type=Path, help="where each frame's figures are kept, as .npz")
    parser.add_argument("settings", nargs="*")
    asked = parser.parse_args()
    init: Initialisation = INITIALISATIONS[asked.init]
    tallies = {mode: Tally() for mode in asked.modes}
    configs = {mode: settle(load_config([*asked.settings, f"refinement.mode={mode}"])) for mode in asked.modes}
    load_on, bounds = settle(load_config([*asked.settings, "refinement.mode=on"])), list[float]()
    segmenter = open_segmenter(configs[asked.modes[0]]) if init == "click" else None
    for sequence in find_sequences(asked.root, asked.year, asked.sequences):
        prompts = prompts_of(sequence, init, 3, segmenter)
        known = len(tallies[asked.modes[0]].j)
        with tempfile.TemporaryDirectory() as folder:
            for mode, config in configs.items():
                measure(sequence, prompts, config, Path(folder) / mode, tallies[mode])
            if asked.oracle:
                bounds.append(bound(sequence, prompts, load_on, Path(folder) / "oracle"))
        last = {mode: f"{np.mean([t.j[known:], t.f[known:]]):.3f}" for mode, t in tallies.items()}
        print(sequence.name, json.dumps(last), flush=True)
    if bounds:
        print("oracle", round(float(np.mean(bounds)), 4))
    for mode, tally in tallies.items():
        print(mode, json.dumps({k: round(v, 4) for k, v in summary(tally, tallies[asked.modes[0]]).items()}), flush=True)
        if asked.keep is not None:
            parts = {n: np.concatenate(p) for n, p in asdict(tally).items() if isinstance(p, list)}
            np.savez(asked.keep.with_suffix(f".{mode}.npz"), allow_pickle=False, **parts)


if __name__ == "__main__":
    main()
