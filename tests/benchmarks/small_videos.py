"""What enlarging small videos gains: ``python -m tests.benchmarks.small_videos --root DAVIS --names a,b [key=value …]``.

Sequences in DAVIS's layout (``JPEGImages/NAME``, ``Annotations/NAME``, one object each) are reduced to 48, 96 and 144 lines and
tracked from the first frame's mask with ``propagation.enlarge`` off and on, without step 3. Told are J, mean over sequences,
and frames/s.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from tam_dist.config import load_config
from tam_dist.evaluation.metrics import region_similarity
from tam_dist.preparation import settle
from tam_dist.tracking.opening import open_models
from tam_dist.tracking.session import TrackingSession
from tam_dist.training.quality_data import Video, read_sequence, spec_of, track_video

LINES = (48, 96, 144)
WAYS = ("propagation.enlarge=false", "propagation.enlarge=true")
WITHOUT_STEP_3 = ("refinement.mode=off", "refinement.presence=false")


def reduced(root: Path, name: str, lines: int) -> Video:
    frames, masks = read_sequence(root, name)
    size = round(frames[0].shape[1] * lines / frames[0].shape[0]), lines
    small = [np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8) for frame in frames]
    truth = np.stack([cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.5 for mask in masks])
    return Video(name, np.stack(small), truth, truth[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--names", type=lambda text: text.split(","), required=True)
    parser.add_argument("settings", nargs="*")
    asked = parser.parse_args()
    configs = [settle(load_config([*asked.settings, *WITHOUT_STEP_3, way])) for way in WAYS]
    models = open_models(configs[0])
    for lines in LINES:
        videos = [reduced(asked.root, name, lines) for name in asked.names]
        for way, config in zip(WAYS, configs, strict=True):
            scores, began = [], time.perf_counter()
            for video in videos:
                session = TrackingSession(spec_of(video, config.propagation, config.refinement), models)
                with torch.inference_mode():
                    labels = track_video(session, video, None)
                scores.append(
                    np.mean([region_similarity(a == 1, b) for a, b in zip(labels[1:-1], video.truth[1:-1], strict=True)])
                )
            speed = sum(len(video.frames) for video in videos) / (time.perf_counter() - began)
            each = ", ".join(f"{100 * score:.1f}" for score in scores)
            print(f"{lines} lines, {way}: J {100 * np.mean(scores):.1f} ({each}); {speed:.1f} frames/s", flush=True)


if __name__ == "__main__":
    main()
