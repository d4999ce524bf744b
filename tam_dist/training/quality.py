"""Fit the quality model and the answer model: ``python -m tam_dist.training.quality --root DATA --packed DIR``.

``DATA`` has ``davis2016_train`` in DAVIS's layout and ``train_images`` with ``images/*.jpg`` and ``masks/*.png``; ``DIR`` is
what ``python -m tam_dist.training.prepare`` made, of which people, pigs, kayaks and BMS-26 are used. Examples are kept in
``--cache``, so that an interrupted run goes on. Folds are by sequence: no frame of a video is scored by a model that saw
another one of it.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from tam_dist.config import load_config
from tam_dist.evaluation.disappearance import cut_out
from tam_dist.evaluation.ranking import auroc, spearman
from tam_dist.models.checkpoints import resolve, sha256
from tam_dist.models.sam.opening import open_segmenter
from tam_dist.tracking.opening import open_models
from tam_dist.tracking.quality.model import LARGEST, QualityModel, Scores, confidence_alone, weight_free
from tam_dist.tracking.quality.signals import SIGNALS
from tam_dist.training.packed import PackedPictures
from tam_dist.training.quality_data import (
    Examples,
    MaskExample,
    Video,
    crowd_videos,
    labelled_videos,
    observe,
    pasted_videos,
    real_videos,
)
from tam_dist.types import FloatArray

logger = logging.getLogger(__name__)

HIDDEN = 12
FOLDS = 5
# Chosen by cross-validation. Noise on the signals, in standard deviations: without it a model of 60 sequences learns them by
# heart and ranks the masks of others worse than :func:`weight_free` does.
_STEPS, _RATE, _DECAY, _NOISE = 600, 1e-2, 0.3, 0.75
#: Of the times that each video is varied, in so many SAM is asked as well, which takes longer than all else.
_ASKED = 2
_HELD_OUT = Path(__file__).parent.parent / "models" / "embedded" / "sam-heldout.txt"


@dataclass(frozen=True)
class Fit:
    """Cross-validated figures: ``auroc`` for IoU < 0.5, ``spearman`` with IoU, mean absolute ``error``."""

    auroc: float
    spearman: float
    error: float

    @classmethod
    def of(cls, predicted: FloatArray, iou: FloatArray) -> Fit:
        return cls(auroc(predicted, iou < 0.5), spearman(predicted, iou), float(np.abs(predicted - iou).mean()))

    def __str__(self) -> str:
        return f"AUROC {self.auroc:.3f}  Spearman {self.spearman:.3f}  error {self.error:.3f}"


def fit_masks(examples: Sequence[MaskExample], weights: str) -> QualityModel:
    """``weights``: the XMem file's SHA-256."""
    x = np.stack([e.signals for e in examples]).astype(np.float64)
    target = np.array([[e.iou, e.absent] for e in examples], np.float32)
    mean, scale = x.mean(0), x.std(0) + 1e-6
    z = torch.from_numpy(np.clip((x - mean) / scale, -LARGEST, LARGEST).astype(np.float32))
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(len(SIGNALS), HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 2))
    optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=_DECAY)
    wanted = torch.from_numpy(target)
    for _ in range(_STEPS):
        optimiser.zero_grad()
        F.binary_cross_entropy_with_logits(network(z + _NOISE * torch.randn_like(z)), wanted).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    first, last = network[0], network[2]
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    return QualityModel(weights, mean, scale, _with_bias(first), _with_bias(last))


def fit_answers(examples: Examples) -> list[float]:
    """Bias and weights of :data:`tam_dist.tracking.refinement.acceptance._EXPECTED_IOU`."""
    x = torch.tensor([e.answer.known for e in examples.answers])
    wanted = torch.tensor([e.after for e in examples.answers])
    layer = nn.Linear(x.shape[1], 1)
    optimiser = torch.optim.LBFGS(layer.parameters(), max_iter=200)

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = F.binary_cross_entropy_with_logits(layer(x)[:, 0], wanted) + 1e-4 * layer.weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    return [round(float(v), 3) for v in (*layer.bias.tolist(), *layer.weight[0].tolist())]


def cross_validate(examples: Sequence[MaskExample]) -> FloatArray:
    """Each mask's expected IoU by a model that saw no frame of its sequence: float32 (N,)."""
    names = np.array([e.video.partition("+")[0] for e in examples])
    order = {name: n % FOLDS for n, name in enumerate(sorted(set(names)))}
    fold = np.array([order[name] for name in names])
    found = np.zeros(len(examples), np.float32)
    signals = np.stack([e.signals for e in examples])
    for n in range(FOLDS):
        model = fit_masks([e for e, f in zip(examples, fold, strict=True) if f != n], "")
        found[fold == n] = model(signals[fold == n]).iou
    return found


def report(examples: Examples) -> str:
    """Figures of the model and of what needs no fitting, on real and on pasted videos."""
    masks = examples.masks
    iou = np.array([e.iou for e in masks], np.float32)
    kinds = np.array([_kind(e.video) for e in masks])
    signals = np.stack([e.signals for e in masks])
    scorers: dict[str, Callable[[FloatArray], Scores]] = {"weight-free": weight_free, "confidence": confidence_alone}
    found = {"model": cross_validate(masks)} | {name: scorer(signals).iou for name, scorer in scorers.items()}
    lines = [f"{len(masks)} masks, {(iou < 0.5).mean():.0%} under 0.5; {len(examples.answers)} answers"]
    for name, score in found.items():
        for kind in sorted(set(kinds)):
            chosen = kinds == kind
            lines.append(f"{name:<12} {kind:<7} {Fit.of(score[chosen], iou[chosen])}")
    lines.append("calibration: predicted  true  masks")
    for low in np.arange(0, 1, 0.1):
        chosen = (found["model"] >= low) & (found["model"] < low + 0.1)
        if chosen.any():
            lines.append(f"{'':>12} {found['model'][chosen].mean():.2f}  {iou[chosen].mean():.2f}  {chosen.sum():>6}")
    return "\n".join(lines)


def _kind(video: str) -> str:
    named = (kind for kind in ("crowd", "sparse") if video.startswith(kind))
    return next(named, "pasted" if "+" in video else "real")


def collect(root: Path, packed: Path, cache: Path, seeds: Sequence[int]) -> Examples:
    """All kinds of video, once for each seed. ``cache`` keeps them by the weights they were made with."""
    config = load_config()
    weights = resolve(config.models.xmem, "xmem"), resolve(config.models.sam, "sam")
    made_with = "-".join(sha256(path)[:8] for path in weights)
    models = open_models(config)
    segmenter = open_segmenter(config)
    cache.mkdir(parents=True, exist_ok=True)
    examples = Examples()
    for name, videos, asks in _sources(root, packed, seeds):
        file = cache / f"{name}-{made_with}.json"
        if file.exists():
            part = Examples.from_json(file.read_text(encoding="utf-8"))
        else:
            part = Examples()
            for video in videos():
                seen = observe(video, models, config.propagation, segmenter if asks else None)
                part.masks += seen.masks
                part.answers += seen.answers
            file.write_text(part.to_json(), encoding="utf-8")
        logger.info("%s: %d masks, %d answers", name, len(part.masks), len(part.answers))
        examples.masks += part.masks
        examples.answers += part.answers
    return examples


def _sources(root: Path, packed: Path, seeds: Sequence[int]) -> Iterator[tuple[str, Callable[[], Iterator[Video]], bool]]:
    sequences, images = root / "davis2016_train", root / "train_images"
    names = sorted(p.name for p in (sequences / "JPEGImages").iterdir())
    found = (
        cut_out(images / "masks" / f"{n}.png", images / "images" / f"{n}.jpg")
        for n in _HELD_OUT.read_text(encoding="utf-8").split()
    )
    sprites = [sprite for sprite in found if sprite is not None]
    kinds, backdrops = [PackedPictures(packed / kind) for kind in ("people", "pigs")], PackedPictures(packed / "kayaks")
    yield "sparse", partial(labelled_videos, PackedPictures(packed / "bms26")), False
    for seed in seeds:
        chosen = np.random.default_rng(seed).permutation(len(sprites))[: len(names)]
        yield f"real-{seed}", partial(real_videos, sequences, names, seed), seed < _ASKED
        yield f"pasted-{seed}", partial(pasted_videos, sequences, names, [sprites[int(i)] for i in chosen], seed), seed < _ASKED
        yield f"crowds-{seed}", partial(crowd_videos, kinds, backdrops, len(names), seed), seed < _ASKED


def _with_bias(layer: nn.Linear) -> np.ndarray:
    return torch.cat([layer.weight, layer.bias.unsqueeze(1)], 1).detach().numpy().astype(np.float64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--packed", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "tam-dist" / "quality")
    parser.add_argument("--seeds", type=int, default=4, help="times each video is varied")
    parser.add_argument("--out", type=Path, help="where the model goes: beside the XMem weights by default")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    examples = collect(asked.root, asked.packed, asked.cache, range(asked.seeds))
    logger.info(report(examples))
    logger.info("answers: %s", fit_answers(examples))
    weights = resolve(load_config().models.xmem, "xmem")
    out = asked.out or weights.with_suffix(".quality.json")
    out.write_text(fit_masks(examples.masks, sha256(weights)).to_json(), encoding="utf-8")
    logger.info("%s written", out)


if __name__ == "__main__":
    main()
