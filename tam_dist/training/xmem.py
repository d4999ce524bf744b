"""Train the embedded XMem: ``python -m tam_dist.training.xmem CONFIG [key=value …]``.

Runs for a given time rather than a number of steps and may be stopped and started again: everything needed to go on is in
``out``/checkpoint.pt. ``out``/xmem.safetensors holds the averaged weights of the last checkpoint, ready for inference.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor, nn

from tam_dist.errors import ConfigError, TamDistError
from tam_dist.models.lite import LiteTrunk
from tam_dist.models.xmem.config import SMALL, XMemConfig
from tam_dist.models.xmem.network import IMAGE_MEAN, IMAGE_STD, XMem
from tam_dist.models.xmem.weights import save_network
from tam_dist.training.clips import ClipSettings
from tam_dist.training.trunk import load_imagenet_trunk
from tam_dist.training.video_data import (
    ClipBatch,
    ClipSource,
    ClipStream,
    PackedPictures,
    Stage,
    pack_sequences,
    pack_stills,
    split_objects,
)
from tam_dist.training.xmem_clip import clip_iou, clip_loss, predict_clip
from tam_dist.training.xmem_validate import region_similarity

# --- settings ----------------------------------------------------------------------------------------------------------


@dataclass
class DataSettings:
    stills: str = MISSING
    davis: str = MISSING
    packed: str = MISSING
    workers: int = MISSING
    object_shares: list[float] = MISSING
    held_out: list[str] = MISSING


@dataclass
class OptimisationSettings:
    minutes: float = MISSING
    max_iterations: int = MISSING
    lr: float = MISSING
    trunk_lr: float = MISSING
    weight_decay: float = MISSING
    clip_norm: float = MISSING
    warm_up: float = MISSING
    ema: float = MISSING
    trunk_frozen: float = MISSING
    bootstrap: list[float] = MISSING
    remember: float = MISSING
    forget_mask: float = MISSING
    top_k: int = MISSING


@dataclass
class ReportSettings:
    log_every: int = MISSING
    checkpoint_minutes: float = MISSING
    validate_minutes: float = MISSING


@dataclass
class TrainingSettings:
    """``configs/training/xmem.yaml`` says what each means."""

    out: str = MISSING
    seed: int = MISSING
    device: str = MISSING
    threads: int = MISSING
    data: DataSettings = MISSING
    stages: list[Stage] = MISSING
    optimisation: OptimisationSettings = MISSING
    reports: ReportSettings = MISSING


def load_settings(path: str, overrides: Sequence[str] = ()) -> TrainingSettings:
    """Raises :class:`ConfigError` where the file, a key or a value is wrong or missing."""
    try:
        merged = OmegaConf.merge(
            OmegaConf.structured(TrainingSettings), OmegaConf.load(path), OmegaConf.from_dotlist(list(overrides))
        )
        return cast(TrainingSettings, OmegaConf.to_object(merged))
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"The training setting {error.full_key} cannot be used: {reason}") from error
    except OSError as error:
        raise ConfigError(f"The training configuration {path} cannot be read: {error}") from error


# --- schedules: functions of progress, the share of the run's time that is over --------------------------------------------


def learning_rate(progress: float, warm_up: float) -> float:
    """Factor on the rates: linear warm-up, then a cosine to 0.01.

    >>> [round(learning_rate(p, 0.01), 3) for p in (0.0, 0.005, 0.01, 1.0)]
    [0.02, 0.5, 1.0, 0.01]
    """
    if progress < warm_up:
        return max(0.02, progress / warm_up)
    along = min(1.0, (progress - warm_up) / (1 - warm_up))
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * along))


def hardest_share(progress: float, bootstrap: Sequence[float]) -> float:
    """Share of pixels that the cross-entropy counts: 1, from ``bootstrap[0]`` falling to ``bootstrap[2]`` at ``bootstrap[1]``.

    >>> [round(hardest_share(p, [0.2, 0.6, 0.25]), 3) for p in (0.1, 0.4, 0.9)]
    [1.0, 0.625, 0.25]
    """
    start, stop, share = bootstrap
    along = min(1.0, max(0.0, (progress - start) / (stop - start)))
    return 1 + (share - 1) * along


# --- the run -------------------------------------------------------------------------------------------------------------


class Trainer:
    """State of a run: network, its moving average, optimiser, and how far it got."""

    def __init__(self, settings: TrainingSettings, network: XMem, device: torch.device) -> None:
        self.settings, self.device = settings, device
        self.network = network.to(device).train()
        self.average = XMem(network.config).to(device).eval().requires_grad_(False)
        self.average.load_state_dict(network.state_dict())
        trunk = {id(p) for p in _trunk(network).parameters()}
        o = settings.optimisation
        groups = [
            {"params": [p for p in network.parameters() if id(p) not in trunk], "base": o.lr},
            {"params": list(_trunk(network).parameters()), "base": o.trunk_lr},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=o.lr, weight_decay=o.weight_decay)
        self.iteration, self.seconds = 0, 0.0
        self._rng = np.random.default_rng(settings.seed)
        self._mean = torch.tensor(IMAGE_MEAN, device=device).view(3, 1, 1)
        self._std = torch.tensor(IMAGE_STD, device=device).view(3, 1, 1)

    @property
    def progress(self) -> float:
        """0..1 of the run's time (or iterations, where they are limited)."""
        o = self.settings.optimisation
        steps = self.iteration / o.max_iterations if o.max_iterations else 0.0
        return min(1.0, max(steps, self.seconds / (60 * o.minutes)))

    def step(self, batch: ClipBatch) -> dict[str, float]:
        """One update; returns what is worth logging."""
        began = time.perf_counter()
        o = self.settings.optimisation
        _freeze(self.network, whole_trunk=self.progress < o.trunk_frozen)
        for group in self.optimiser.param_groups:
            group["lr"] = group["base"] * learning_rate(self.progress, o.warm_up)
        frames = (batch.frames.to(self.device).float() / 255 - self._mean) / self._std
        labels = batch.labels.to(self.device)
        remembered = [True] + [bool(x) for x in self._rng.random(frames.shape[1] - 1) < o.remember]
        forgetful = torch.from_numpy(self._rng.random(len(frames)) < o.forget_mask).to(self.device)
        first = split_objects(labels[:, 0], batch.objects)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            prediction = predict_clip(self.network, frames, first, remembered, top_k=o.top_k, forgetful=forgetful)
        loss = clip_loss(prediction, labels[:, 1:], hardest_share(self.progress, o.bootstrap))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), o.clip_norm)
        if bool(torch.isfinite(norm)):
            self.optimiser.step()
            self._update_average()
        self.iteration += 1
        self.seconds += time.perf_counter() - began
        ious = clip_iou(prediction.probabilities, labels[:, 1:])
        return {
            "loss": float(loss.detach()),
            "gradient": float(norm),
            "iou_first": ious[0],
            "iou_last": ious[-1],
            "top1": prediction.top1,
            "shrinkage": prediction.shrinkage,
            "key_rms": prediction.key_rms,
        }

    @torch.no_grad()
    def _update_average(self) -> None:
        keep = min(self.settings.optimisation.ema, (1 + self.iteration) / (10 + self.iteration))
        for mine, new in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mine.lerp_(new, 1 - keep)

    def save(self, folder: Path) -> None:
        """Replace ``folder``/checkpoint.pt and ``folder``/xmem.safetensors, each at once."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "iteration": self.iteration,
            "seconds": self.seconds,
        }
        torch.save(state, folder / "checkpoint.partial")
        os.replace(folder / "checkpoint.partial", folder / "checkpoint.pt")
        save_network(self.average, folder / "xmem.partial", half=True)
        os.replace(folder / "xmem.partial", folder / "xmem.safetensors")

    def resume(self, folder: Path) -> bool:
        """Go on from ``folder``/checkpoint.pt; False where there is none.

        Raises :class:`TamDistError` where it is of another network.
        """
        path = folder / "checkpoint.pt"
        if not path.exists():
            return False
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
        except (RuntimeError, KeyError, ValueError) as error:
            raise TamDistError(
                f"The checkpoint {path} is not of this network; remove it or choose another out folder."
            ) from error
        self.iteration, self.seconds = int(state["iteration"]), float(state["seconds"])
        self._rng = np.random.default_rng([self.settings.seed, self.iteration])
        return True


def new_network(config: XMemConfig = SMALL, trunk_weights: str | None = None) -> XMem:
    """A network to start from: ImageNet trunk, random heads, soft matching.

    Shrinkage starts low (about 4): in the middle of its range most of the softmax falls on one element from the first step on
    and keys learn slowly.
    """
    network = XMem(config)
    load_imagenet_trunk(_trunk(network), trunk_weights)
    if config.bounded_matching:
        nn.init.constant_(cast(Tensor, network.key_proj.d_proj.bias), math.log(3 / (config.max_shrinkage - 4)))
    return network


def _trunk(network: XMem) -> LiteTrunk:
    return cast(LiteTrunk, network.key_encoder.trunk)


def _freeze(network: XMem, *, whole_trunk: bool) -> None:
    """Stem and stages up to stride 8 never learn: half the cost of a step, and the features that need it least."""
    trunk = _trunk(network)
    trunk.requires_grad_(not whole_trunk)
    for part in (trunk.stem, *trunk.stages[:3]):
        part.requires_grad_(False)


def train(settings: TrainingSettings, network: XMem | None = None) -> XMem:
    """Run to the end of the time and return the averaged network."""
    torch.manual_seed(settings.seed)
    device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if settings.device == "auto" else settings.device)
    if device.type == "cpu":
        torch.set_num_threads(settings.threads)
    out = Path(settings.out)
    out.mkdir(parents=True, exist_ok=True)
    data = settings.data
    stills = pack_stills(Path(data.stills) / "images", Path(data.stills) / "masks", Path(data.packed) / "stills")
    videos = pack_sequences(Path(data.davis), Path(data.packed) / "davis")
    source = ClipSource(
        stills,
        videos,
        settings.stages,
        ClipSettings(),
        held_out=data.held_out,
        object_shares=data.object_shares,
        seed=settings.seed,
    )
    trainer = Trainer(settings, network or new_network(), device)
    log = Log(out / "log.jsonl")
    if trainer.resume(out):
        log.write({"resumed": trainer.iteration})
    stream = ClipStream(source, first=trainer.iteration, workers=data.workers)
    _loop(trainer, stream, videos, out, log)
    return trainer.average


def _loop(trainer: Trainer, stream: ClipStream, videos: PackedPictures, out: Path, log: Log) -> None:
    reports, seen = trainer.settings.reports, []
    saved = validated = trainer.seconds
    began, waited = time.perf_counter(), 0.0
    while trainer.progress < 1:
        before = time.perf_counter()
        stream.set_progress(trainer.progress)
        batch = next(stream)
        waited += time.perf_counter() - before
        trainer.seconds += time.perf_counter() - before
        seen.append(trainer.step(batch))
        if trainer.iteration % reports.log_every == 0:
            speed = (time.perf_counter() - began) / len(seen)
            log.write(_position(trainer) | _mean(seen) | {"s_per_it": speed, "waiting": waited / len(seen)})
            seen, began, waited = [], time.perf_counter(), 0.0
        if trainer.seconds - saved >= 60 * reports.checkpoint_minutes:
            trainer.save(out)
            saved = trainer.seconds
        if reports.validate_minutes and trainer.seconds - validated >= 60 * reports.validate_minutes:
            _validate(trainer, videos, log)
            validated = trainer.seconds
    trainer.save(out)
    if reports.validate_minutes:
        _validate(trainer, videos, log)


def _validate(trainer: Trainer, videos: PackedPictures, log: Log) -> None:
    began = time.perf_counter()
    scores = region_similarity(trainer.average, videos, trainer.settings.data.held_out)
    trainer.seconds += time.perf_counter() - began  # it is the run's time too: a run must end when it was said to
    log.write(_position(trainer) | {"held_out_J": float(np.mean(list(scores.values())))} | scores)


def _position(trainer: Trainer) -> dict[str, float]:
    return {"iteration": trainer.iteration, "minute": trainer.seconds / 60}


def _mean(rows: Iterable[dict[str, float]]) -> dict[str, float]:
    table = list(rows)
    return {key: float(np.nanmean([row[key] for row in table])) for key in table[0]}


class Log:
    """JSON lines in a file, and the same on standard error for who watches."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, row: dict[str, Any]) -> None:
        line = json.dumps({key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        sys.stderr.write(line + "\n")


def main(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0].startswith("-"):
        sys.stderr.write("usage: python -m tam_dist.training.xmem CONFIG.yaml [key=value …]\n")
        return 2
    try:
        train(load_settings(arguments[0], arguments[1:]))
    except TamDistError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
