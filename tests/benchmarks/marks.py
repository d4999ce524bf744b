"""What it is worth to know an object's later marks from its beginning: ``python -m tests.benchmarks.marks --root DAVIS
[--year 2017] [--sequences a,b] [key=value …]``.

The true masks of the first frame, of the first and the last, and of four evenly spread ones are given before tracking; J&F over
the frames that no start is given of, with ``tracking.known_ahead`` 0 and as it is set.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from tam_dist.config import Config, load_config
from tam_dist.evaluation.davis import VideoSequence, find_sequences
from tam_dist.evaluation.metrics import contour_accuracy, region_similarity
from tam_dist.evaluation.protocol import labels_of
from tam_dist.preparation import prepare, settle
from tam_dist.project import Project
from tam_dist.prompts import new_prompt
from tam_dist.running import run_inline
from tam_dist.types import Mask

#: Frames as shares of the way from the first to the last.
STARTS = {"first": (0.0,), "ends": (0.0, 1.0), "four": (0.0, 1 / 3, 2 / 3, 1.0)}


def score(sequence: VideoSequence, config: Config, start: str) -> float:
    """Mean J&F, 0..1, over objects and frames."""
    last = len(sequence.label_files()) - 1
    given = [round(share * last) for share in STARTS[start]]
    spared = {round(share * last) for shares in STARTS.values() for share in shares}
    prompts = []
    for frame in given:
        truth = sequence.labels(frame)
        shown = (o for o in sequence.objects() if (truth == o).any())
        prompts += [new_prompt(frame, str(o), Mask.from_array(truth == o)) for o in shown]
    with tempfile.TemporaryDirectory() as folder:
        job = prepare(str(sequence.frames), prompts, f"{folder}/project", config)
        (outcome,) = run_inline([job], config)
        outcome.raise_failure()
        labels = labels_of(Project.open(outcome.project))
        scores = []
        for frame in sorted(set(range(last + 1)) - spared):
            ours, truth = labels(frame), sequence.labels(frame)
            pairs = [(ours == o, truth == o) for o in sequence.objects()]
            scores += [(region_similarity(*pair) + contour_accuracy(*pair)) / 2 for pair in pairs]
    return float(np.mean(scores))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--year", type=int, default=2016)
    parser.add_argument("--sequences", help="only these, separated by commas")
    parser.add_argument("settings", nargs="*", metavar="key=value")
    options = parser.parse_args()
    known = settle(load_config(options.settings))
    unknown = settle(load_config([*options.settings, "tracking.known_ahead=0"]))
    ways = [("first", unknown)] + [(start, config) for start in ("ends", "four") for config in (unknown, known)]
    rows = []
    for sequence in find_sequences(options.root, options.year, options.sequences.split(",") if options.sequences else None):
        rows.append([100 * score(sequence, config, start) for start, config in ways])
        print(f"{sequence.name:<20}", *(f"{value:5.1f}" for value in rows[-1]), flush=True)
    names = ", ".join(f"{start} ({config.tracking.known_ahead})" for start, config in ways)
    print(f"{names}: ", *(f"{value:5.1f}" for value in np.mean(rows, axis=0)))


if __name__ == "__main__":
    main()
