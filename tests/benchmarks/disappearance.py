"""An object leaves the picture and comes back: ``python -m tests.benchmarks.disappearance --data DATA [--clips N] …``.

Generated clips (:mod:`tam_dist.evaluation.disappearance`), the object gone for 10, 50 and 200 frames, alone and beside a
look-alike, with step 3 off and on. Told are: the share of gone frames on which something is marked, and how much of
the frame; how often the object is found again within 12 frames of its return (IoU above 0.5); how often the mark is on
the object rather than its twin at the end; and the mean IoU.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from tam_dist.config import Config, load_config
from tam_dist.evaluation.clicks import mask_iou
from tam_dist.evaluation.disappearance import AFTER, Clip, Plot, cut_out, make_clip, read_backgrounds
from tam_dist.models.sam.opening import open_segmenter
from tam_dist.models.sam.segmenter import SupportsSegment
from tam_dist.preparation import settle
from tam_dist.tracking.opening import open_models
from tam_dist.tracking.session import Models, TrackingSession
from tam_dist.tracking.spec import SessionSpec
from tam_dist.training.quality_data import Video, track_video
from tam_dist.types import BoolArray, Mask, Prompt, TrackedObject

_FOUND_WITHIN = 12
_HELD_OUT = Path("tam_dist/models/embedded/sam-heldout.txt")
MODES = {"off": ["refinement.mode=off", "refinement.presence=false"], "on": ["refinement.mode=on", "refinement.presence=true"]}


def track(clip: Clip, config: Config, models: Models, segmenter: SupportsSegment) -> BoolArray:
    """bool (T, H, W)."""
    height, width = clip.object.shape[1:]
    prompt = Prompt("start", 0.0, "benchmark", 0, "it", Mask.from_array(clip.object[0]))
    grid = (width, height, len(clip.frames), config.tracking.chunk_size)
    spec = SessionSpec(*grid, (TrackedObject(1, "it", (255, 0, 0)),), (prompt,), config.propagation, config.refinement)
    session = TrackingSession(spec, models)
    found: BoolArray = track_video(session, Video(clip.name, clip.frames, clip.object, clip.object[0]), segmenter) == 1
    return found


def figures(clip: Clip, marked: np.ndarray) -> dict[str, float]:
    back = len(clip.frames) - AFTER
    overlap = [mask_iou(m, t) for m, t in zip(marked, clip.object, strict=True)]
    on_object = (marked[-1] & clip.object[-1]).sum()
    on_twin = (marked[-1] & clip.twin[-1]).sum()
    return {
        "marked while gone": float(np.mean([m.any() for m in marked[clip.gone]])),
        "false area": float(marked[clip.gone].mean()),
        "found again": float(max(overlap[back - 6 : back + _FOUND_WITHIN]) > 0.5),
        "right one at the end": float(on_object > on_twin),
        "mean IoU": float(np.mean(overlap[1:])),
    }


def mean(found: Sequence[dict[str, float]]) -> dict[str, float]:
    return {key: round(float(np.mean([each[key] for each in found])), 3) for key in found[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=4, help="for each length, with and without a twin")
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("settings", nargs="*")
    asked = parser.parse_args()
    images = asked.data / "train_images"
    named = (
        (images / "masks" / f"{n}.png", images / "images" / f"{n}.jpg") for n in _HELD_OUT.read_text(encoding="utf-8").split()
    )
    sprites = [s for files in named if (s := cut_out(*files)) is not None]
    grounds = read_backgrounds(asked.data / "davis2016_train")
    configs = {mode: settle(load_config([*asked.settings, *settings])) for mode, settings in MODES.items()}
    models = open_models(configs["on"])
    segmenter = open_segmenter(configs["on"])
    rng = np.random.default_rng(asked.seed)
    for twin in (False, True):
        for absence in (10, 50, 200):
            found: dict[str, list[dict[str, float]]] = {mode: [] for mode in configs}
            for _ in range(asked.clips):
                ground = grounds[str(rng.choice(list(grounds)))]
                sprite = sprites[int(rng.integers(len(sprites)))]
                clip = make_clip(ground, sprite, Plot(absence, twin), int(rng.integers(1 << 30)))
                with torch.inference_mode():
                    for mode, config in configs.items():
                        found[mode].append(figures(clip, track(clip, config, models, segmenter)))
            for mode, each in found.items():
                print(f"gone {absence:>3}, {'twin' if twin else 'alone':<5} {mode:<3} {json.dumps(mean(each))}", flush=True)


if __name__ == "__main__":
    main()
