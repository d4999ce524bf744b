"""Judges the cut finder, and PySceneDetect's detectors where that is installed, on films whose cuts are known.

``python -m tests.benchmarks.shots DAVIS_FOLDER [VIDEO…]``: films are joined from the sequences of a DAVIS folder
(``JPEGImages/…``), with hard cuts, fades through black, flashes and fast pans. Prints precision and recall within one frame
(of fades: within the fade), and what a frame costs beside decoding it. For VIDEOs, what each finds and the cost alone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tam_dist.media.reader import open_video
from tam_dist.media.shots import find_cuts, signatures
from tam_dist.types import UInt8Array

SIZE = (427, 240)
Detector = Callable[[np.ndarray], list[int]]


@dataclass
class Film:
    """``frames`` uint8 (T, H, W, 3) RGB; each cut may be found anywhere in its span (first, last)."""

    name: str
    frames: np.ndarray
    cuts: list[tuple[int, int]]


def sequences(folder: Path, most: int = 40) -> list[np.ndarray]:
    found = []
    for each in sorted((folder / "JPEGImages").rglob("00000.jpg"))[:14]:
        images = [_read(path) for path in sorted(each.parent.glob("*.jpg"))[:most]]
        found.append(np.stack([cv2.resize(image, SIZE, interpolation=cv2.INTER_AREA)[:, :, ::-1] for image in images]))
    return found


def _read(path: Path) -> UInt8Array:
    image = cv2.imread(str(path))
    assert image is not None, path
    return image.astype(np.uint8, copy=False)


def joined(name: str, shots: Sequence[np.ndarray]) -> Film:
    edges = np.cumsum([len(shot) for shot in shots])[:-1]
    return Film(name, np.concatenate(shots), [(int(e) - 1, int(e) + 1) for e in edges])


def with_fades(shots: Sequence[np.ndarray], length: int, black: int) -> Film:
    parts, spans, at = [], [], 0
    for shot in shots:
        faded = shot.astype(np.float32)
        faded[:length] *= np.linspace(0, 1, length)[:, None, None, None]
        faded[-length:] *= np.linspace(1, 0, length)[:, None, None, None]
        if at:
            spans.append((at - black - length, at + length))
        parts += [faded.astype(np.uint8), np.zeros((black, *shot.shape[1:]), np.uint8)]
        at += len(shot) + black
    return Film("fades", np.concatenate(parts), spans)


def with_flashes(shots: Sequence[np.ndarray]) -> Film:
    film = joined("flashes", [shot.copy() for shot in shots])
    for number, (first, last) in enumerate([(0, 0), *film.cuts]):
        at = max(first, last) + 15
        for t in range(1 + number % 4):
            light = film.frames[at + t].astype(np.float32)
            film.frames[at + t] = (light + (255 - light) * 0.85 * 0.6**t).astype(np.uint8)
    return film


def with_pans(shots: Sequence[np.ndarray], speed: int = 24) -> Film:
    """Each shot: still, then a pan over its picture, wrapped around, at ``speed`` of 427 pixels a frame, then still."""
    pans = []
    for shot in shots:
        wide = np.concatenate([shot[0], shot[0][:, ::-1]], axis=1)
        places = [0] * 10 + [speed * t for t in range(20)] + [speed * 19] * 10
        pans.append(np.stack([np.roll(wide, -x, axis=1)[:, : SIZE[0]] for x in places]))
    return joined("fast pans", pans)


def ours(frames: np.ndarray) -> list[int]:
    return [cut.frame for cut in find_cuts(signatures(frames))]


def detectors() -> dict[str, Detector]:
    found: dict[str, Detector] = {"ours": ours}
    try:
        import scenedetect
        from scenedetect import FrameTimecode, detectors
    except ImportError:
        print("PySceneDetect is not installed; only ours is judged")
        return found

    def wrap(make: Callable[[], Any]) -> Detector:
        def run(frames: np.ndarray) -> list[int]:
            detector = make()
            cuts = []
            for number, frame in enumerate(frames):
                cuts += detector.process_frame(FrameTimecode(number, 25.0), np.ascontiguousarray(frame[:, :, ::-1]))
            cuts += detector.post_process(FrameTimecode(len(frames), 25.0))
            return sorted({cut.frame_num if hasattr(cut, "frame_num") else int(cut) for cut in cuts})

        return run

    print(f"PySceneDetect {scenedetect.__version__}")
    for name in ("ContentDetector", "AdaptiveDetector", "HistogramDetector", "HashDetector", "ThresholdDetector"):
        found[name] = wrap(getattr(detectors, name))
    return found


def judge(film: Film, found: Sequence[int]) -> tuple[int, int]:
    """How many cuts were found, and how many that are none."""
    hits = {span for span in film.cuts if any(span[0] <= frame <= span[1] for frame in found)}
    false = [frame for frame in found if not any(first <= frame <= last for first, last in film.cuts)]
    return len(hits), len(false)


def main(folder: Path, videos: Sequence[str]) -> None:
    shots = sequences(folder)
    films = [joined("hard cuts", shots), with_fades(shots, 12, 6), with_flashes(shots), with_pans(shots)]
    for name, detect in detectors().items():
        line = []
        for film in films:
            start = time.process_time()
            hits, false = judge(film, detect(film.frames))
            cost = (time.process_time() - start) / len(film.frames)
            line.append(f"{film.name} {hits}/{len(film.cuts)} found, {false} false")
        print(f"{name:<18} {'; '.join(line)}; {cost * 1e3:.2f} ms a frame of {SIZE[0]}x{SIZE[1]}")
    for video in videos:
        decoding = finding = 0.0
        with open_video(video, reader="pyav") as reader:
            total = min(600, reader.info.frame_count)
            marks = []
            for start in range(0, total, 16):
                before = time.process_time()
                frames = reader.read(start, min(start + 16, total))
                between = time.process_time()
                marks.append(signatures(frames))
                finding += time.process_time() - between
                decoding += between - before
            between = time.process_time()
            cuts = find_cuts(np.concatenate(marks))
            finding += time.process_time() - between
            info = reader.info
        share = finding / decoding
        print(
            f"{video} {info.width}x{info.height}: {decoding / total * 1e3:.2f} ms to decode a frame, {share:.1%} of it for cuts"
        )
        print("  cuts at", [cut.frame for cut in cuts])


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
