"""Which of SAM's answers to take, measured: python -m tests.benchmarks.sam_policies FOLDER [WEIGHTS] [IMAGES]

FOLDER holds images/ and masks/ of the embedded model's held-out list. For one click: the best of three by predicted IoU,
the single mask, and either followed by a second pass that is shown the first's logits. For three and five clicks given
at once, without an earlier mask: one pass, two passes, and the clicks replayed one by one.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tam_dist.config import SegmentationConfig
from tam_dist.evaluation.clicks import click_rounds, mask_iou
from tam_dist.models.checkpoints import EMBEDDED
from tam_dist.models.sam.segmenter import Segmenter
from tam_dist.models.sam.weights import load_sam
from tam_dist.types import FloatArray, ObjectQuery, SegmentedMask


class Recorder:
    """A segmenter that remembers the queries of an interactive session."""

    def __init__(self, segmenter: Segmenter) -> None:
        self.segmenter, self.queries = segmenter, list[ObjectQuery]()

    def segment(self, frame, queries, *, frame_key=None):  # type: ignore[no-untyped-def]
        self.queries.extend(queries)
        return self.segmenter.segment(frame, queries, frame_key=frame_key)


def main(folder: Path, weights: Path, count: int) -> None:
    torch.set_num_threads(1)
    segmenter = Segmenter(load_sam(weights), SegmentationConfig(embedding_cache=2))
    names = (EMBEDDED["sam"].parent / "sam-heldout.txt").read_text().split()
    ious: dict[str, list[float]] = defaultdict(list)
    for name in names[:: max(1, len(names) // count)]:
        image = np.asarray(Image.open(folder / "images" / f"{name}.jpg").convert("RGB"))
        labels = np.asarray(Image.open(folder / "masks" / f"{name}.png"))
        areas = np.bincount(labels.ravel(), minlength=256)[1:255]
        for value in np.flatnonzero(areas >= 0.01 * labels.size) + 1:
            truth, valid = labels == value, labels != 255
            recorder = Recorder(segmenter)
            rounds = list(click_rounds(recorder, image, truth, valid, 5, name))

            def ask(clicks: int, logits: FloatArray | None, *, many: bool | None = None) -> SegmentedMask:
                query = recorder.queries[min(clicks, len(recorder.queries)) - 1]  # noqa: B023
                again = ObjectQuery(1, query.points[:clicks], query.point_labels[:clicks], None, logits)
                return answer(segmenter, image, again, name, many)  # noqa: B023

            def note(policy: str, mask: SegmentedMask) -> None:
                ious[policy].append(mask_iou(mask.mask, truth, valid))  # noqa: B023

            best, single = ask(1, None), ask(1, None, many=False)
            note("1 click: best of three", best)
            note("1 click: single mask", single)
            note("1 click: best of three, second pass", ask(1, best.logits))
            note("1 click: best of three, second pass, best of three", ask(1, best.logits, many=True))
            note("1 click: single mask, second pass", ask(1, single.logits))
            for clicks in (3, 5):
                at_once = ask(clicks, None)
                note(f"{clicks} clicks at once: one pass", at_once)
                note(f"{clicks} clicks at once: two passes", ask(clicks, at_once.logits))
                note(f"{clicks} clicks one by one", rounds[clicks - 1].answer)
                note(f"{clicks} clicks one by one, second pass", ask(clicks, rounds[clicks - 1].answer.logits))
    for policy, values in ious.items():
        print(f"{policy:<55} {np.mean(values):.4f}")


def answer(segmenter: Segmenter, image, query: ObjectQuery, key: str, many: bool | None) -> SegmentedMask:  # type: ignore[no-untyped-def]
    """``many``: whether the best of three answers; None: as the segmenter decides."""
    if many is None:
        return segmenter.segment(image, [query], frame_key=key)[0]
    decoder = segmenter._sam.mask_decoder
    original = decoder.forward
    decoder.forward = lambda **given: original(**(given | {"multimask_output": many}))
    try:
        return segmenter.segment(image, [query], frame_key=key)[0]
    finally:
        del decoder.forward


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(
        Path(sys.argv[1]),
        Path(sys.argv[2]) if len(sys.argv) > 2 else EMBEDDED["sam"],
        int(sys.argv[3]) if len(sys.argv) > 3 else 300,
    )
