"""What step 3 does where objects look alike: ``python -m tests.benchmarks.crowds --packed CACHE [--clips N] [key=value …]``.

Generated crowds of two to four people or pigs that move, cross and leave, one or more of them tracked, made of pictures that
neither network nor quality model learnt from; CACHE is what ``python -m tam_dist.training.prepare`` made. Each is tracked from
the first frame's masks with neither refinement nor presence, with either alone, and with both. Settings are chosen on these, so
that clips for evaluation need not be looked at. J&F, mean over objects; several: of clips with more than one tracked.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from tam_dist.config import load_config
from tam_dist.evaluation.metrics import contour_accuracy, region_similarity
from tam_dist.models.sam.opening import open_segmenter
from tam_dist.preparation import settle
from tam_dist.tracking.opening import open_models
from tam_dist.tracking.session import TrackingSession
from tam_dist.training.packed import PackedPictures
from tam_dist.training.quality_data import Video, crowd_videos, spec_of, track_video

WAYS = {
    "neither": ("refinement.mode=off", "refinement.presence=false"),
    "presence": ("refinement.mode=off",),
    "refinement": ("refinement.presence=false",),
    "both": (),
}


def j_and_f(video: Video, labels: np.ndarray) -> float:
    """Mean over objects and frames but the first."""
    found = []
    for number in video.objects:
        for ours, truth in zip(labels[1:] == number, video.truth[1:] == number, strict=True):
            found.append((region_similarity(ours, truth) + contour_accuracy(ours, truth)) / 2)
    return float(np.mean(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packed", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("settings", nargs="*")
    asked = parser.parse_args()
    configs = {name: settle(load_config([*settings, *asked.settings])) for name, settings in WAYS.items()}
    models, segmenter = open_models(configs["both"]), open_segmenter(configs["both"])
    kinds, backdrops = (
        [PackedPictures(asked.packed / kind) for kind in ("people", "pigs")],
        PackedPictures(asked.packed / "kayaks"),
    )
    found: dict[str, list[float]] = {name: [] for name in configs}
    seconds = dict.fromkeys(configs, 0.0)
    several = []
    for video in crowd_videos(kinds, backdrops, asked.clips, asked.seed, held_out=True):
        several.append(len(video.objects) > 1)
        for name, config in configs.items():
            session = TrackingSession(spec_of(video, config.propagation, config.refinement), models)
            began = time.perf_counter()
            with torch.inference_mode():
                found[name].append(j_and_f(video, track_video(session, video, segmenter)))
            seconds[name] += time.perf_counter() - began
        print(video.name, len(video.objects), {name: round(100 * each[-1], 1) for name, each in found.items()}, flush=True)
    chosen = np.array(several)
    for name, each in found.items():
        scores = 100 * np.array(each)
        parts = f"several {scores[chosen].mean():.1f}, alone {scores[~chosen].mean():.1f}"
        print(f"{name}: {scores.mean():.1f}, {parts}; {seconds[name]:.0f} s")


if __name__ == "__main__":
    main()
