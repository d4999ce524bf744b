"""What clicks make of masks that are there: ``python -m tests.benchmarks.corrected_masks --root DAVIS [key=value …]``.

Every sequence is tracked from one click on its first frame. On every ``--every``-th frame, from the third on, a simulated
annotator then clicks three times in the largest error that is left, whatever comes of it: mean IoU before and after each click,
and how many masks a click made worse. The same from masks that lost the object: a scrap of it, and its shape beside it.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from tam_dist.config import Config, load_config
from tam_dist.evaluation.clicks import mask_iou, next_click
from tam_dist.evaluation.davis import find_sequences
from tam_dist.evaluation.protocol import labels_of, prompts_of
from tam_dist.models.sam.opening import open_segmenter
from tam_dist.models.sam.rounds import certain_logits, segment_in_rounds
from tam_dist.models.sam.segmenter import SupportsSegment
from tam_dist.preparation import prepare, settle
from tam_dist.project import Project
from tam_dist.running import run_inline
from tam_dist.types import BoolArray, ObjectQuery, UInt8Array

CLICKS = 3
#: A click that lowers a mask's IoU by more did harm.
HARM = 0.03
#: Area of the scrap of a lost object, as a share of the object's.
SCRAP = 0.1


@dataclass(frozen=True, eq=False)
class Case:
    """``mask`` bool (H, W) is what was tracked on ``frame`` uint8 (H, W, 3), ``truth`` what there is."""

    frame: UInt8Array
    truth: BoolArray
    mask: BoolArray


def tracked(root: Path, config: Config, segmenter: SupportsSegment, every: int) -> Iterator[Case]:
    for sequence in find_sequences(root, 2016):
        images = sorted(sequence.frames.glob("*.jpg"))
        with tempfile.TemporaryDirectory() as folder:
            prompts = prompts_of(sequence, "click", 1, segmenter)
            job = prepare(str(sequence.frames), prompts, f"{folder}/p", config)
            run_inline([job], config)[0].raise_failure()
            labels = labels_of(Project.open(job.project))
            for number in range(2, len(images), every):
                truth, mask = sequence.labels(number) == 1, labels(number) == 1
                if truth.any() and mask.any():
                    yield Case(np.asarray(Image.open(images[number]).convert("RGB")), truth, mask)


def scrap_of(truth: BoolArray) -> BoolArray:
    """The part of it around a pixel of its upper fifth."""
    rows, columns = np.nonzero(truth)
    disc = np.zeros(truth.shape, np.uint8)
    at = len(rows) // 5
    radius = max(1, int(np.sqrt(SCRAP * truth.sum() / np.pi)))
    cv2.circle(disc, (int(columns[at]), int(rows[at])), radius, 1, thickness=-1)
    return truth & (disc > 0)


def beside(truth: BoolArray) -> BoolArray:
    return np.roll(truth, truth.shape[1] // 3, axis=1) & ~truth


def clicked(segmenter: SupportsSegment, case: Case, mask: BoolArray) -> list[float]:
    """IoU before and after each click."""
    found = [mask_iou(mask, case.truth)]
    points, labels = list[tuple[float, float]](), list[int]()
    shown = mask
    for _ in range(CLICKS):
        click = next_click(shown, case.truth)
        if click is not None:
            points.append((click.x, click.y))
            labels.append(int(click.positive))
            given = np.array(points, np.float32), np.array(labels, np.int64)
            query = ObjectQuery(1, *given, None, certain_logits(mask), corrects=True)
            shown = segment_in_rounds(segmenter, case.frame, query, id(case)).mask
        found.append(mask_iou(shown, case.truth))
    return found


def told(name: str, found: list[list[float]]) -> None:
    ious = np.array(found)
    harmed = (np.diff(ious, axis=1) < -HARM).sum(axis=0)
    curve = " ".join(f"{value:.3f}" for value in ious.mean(axis=0))
    print(f"{name:<10} {len(ious):4} masks  IoU {curve}  worse by over {HARM}: {' '.join(map(str, harmed))}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--every", type=int, default=20)
    parser.add_argument("settings", nargs="*")
    arguments = parser.parse_args()
    config = settle(load_config(arguments.settings))
    segmenter = open_segmenter(config)
    cases = list(tracked(arguments.root, config, segmenter, arguments.every))
    told("tracked", [clicked(segmenter, case, case.mask) for case in cases])
    for name, lost in (("a scrap", scrap_of), ("beside it", beside)):
        masks = [(case, lost(case.truth)) for case in cases]
        told(name, [clicked(segmenter, case, mask) for case, mask in masks if mask.any()])


if __name__ == "__main__":
    main()
