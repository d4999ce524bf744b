"""Train the embedded XMem: ``python -m tam_dist.training.xmem CONFIG [key=value …]``.

Runs for a given time rather than a number of steps and may be stopped and started again: everything needed to go on is in
``out``/checkpoint.pt. ``out``/xmem.safetensors holds the averaged weights of the last checkpoint, ready for inference, and
``out``/best.safetensors those that did best on the held-out sequences and films.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from tam_dist.errors import ConfigError, TamDistError
from tam_dist.models.lite import LiteTrunk
from tam_dist.models.xmem.config import SMALL, XMemConfig
from tam_dist.models.xmem.network import IMAGE_MEAN, IMAGE_STD, XMem
from tam_dist.models.xmem.weights import load_network, save_network
from tam_dist.training.identity_loss import matching_loss
from tam_dist.training.mixed import mixed_precision
from tam_dist.training.packed import PackedPictures
from tam_dist.training.trunk import load_imagenet_trunk
from tam_dist.training.video_data import ClipBatch, ClipSource, ClipStream, Library, split_objects
from tam_dist.training.xmem_clip import clip_iou, clip_loss, predict_clip
from tam_dist.training.xmem_settings import (
    TrainingSettings,
    ValidationSettings,
    hardest_share,
    learning_rate,
    load_settings,
)
from tam_dist.training.xmem_validate import HeldOut, validate

#: Of the embedded network, those that the trunk does not settle.
_WIDTHS = ("f16_dim", "key_dim", "value_dim", "hidden_dim", "g16_dim", "g8_dim", "g4_dim", "update_dim")


class Trainer:
    """State of a run: network, its moving average, optimiser, and how far it got."""

    def __init__(self, settings: TrainingSettings, network: XMem, device: torch.device) -> None:
        self.settings, self.device = settings, device
        self._precision = mixed_precision(settings.precision, device)
        self.network = network.to(device).train()
        # A step takes a tenth less on a CPU: depthwise convolutions want the channels last.
        cast(Any, self.network).to(memory_format=torch.channels_last)
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
        self.first_scores: dict[str, float] = {}
        self.best = -math.inf
        self._rng = np.random.default_rng(settings.seed)
        self._mean = torch.tensor(IMAGE_MEAN, device=device).view(3, 1, 1)
        self._std = torch.tensor(IMAGE_STD, device=device).view(3, 1, 1)

    @property
    def progress(self) -> float:
        """0..1 of the run's time (or iterations, where they are limited)."""
        o = self.settings.optimisation
        steps = self.iteration / o.max_iterations if o.max_iterations else 0.0
        return min(1.0, max(steps, self.seconds / (60 * o.minutes)))

    def step(self, batch: ClipBatch) -> tuple[dict[str, float], list[float]]:
        """One update; returns what is worth logging and each clip's loss."""
        began = time.perf_counter()
        o = self.settings.optimisation
        _freeze(self.network, whole_trunk=self.progress < o.trunk_frozen)
        for group in self.optimiser.param_groups:
            group["lr"] = group["base"] * learning_rate(self.progress, o.warm_up)
        frames = (batch.frames.to(self.device).float() / 255 - self._mean) / self._std
        instances, labels = batch.instances.to(self.device), batch.labels.to(self.device)
        remembered = [True] + [bool(x) for x in self._rng.random(frames.shape[1] - 1) < o.remember]
        forgetful = torch.from_numpy(self._rng.random(len(frames)) < o.forget_mask).to(self.device)
        first = split_objects(labels[:, 0], batch.objects)
        with self._precision.autocast(self.device):
            prediction = predict_clip(self.network, frames, first, remembered, top_k=o.top_k, forgetful=forgetful)
        losses = clip_loss(prediction, labels[:, 1:], hardest_share(self.progress, o.bootstrap))
        matching = matching_loss(prediction.features, instances)
        self.optimiser.zero_grad(set_to_none=True)
        (losses.mean() + o.matching * matching).backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), o.clip_norm)
        if bool(torch.isfinite(norm)):
            self.optimiser.step()
            self._update_average()
        self.iteration += 1
        self.seconds += time.perf_counter() - began
        ious = clip_iou(prediction.probabilities, labels[:, 1:])
        row = {
            "loss": float(losses.detach().mean()),
            "matching": float(matching.detach()),
            "gradient": float(norm),
            "iou_first": ious[0],
            "iou_last": ious[-1],
            "top1": prediction.top1,
            "shrinkage": prediction.shrinkage,
            "key_rms": prediction.key_rms,
        }
        return row, losses.detach().tolist()

    @torch.no_grad()
    def _update_average(self) -> None:
        keep = min(self.settings.optimisation.ema, (1 + self.iteration) / (10 + self.iteration))
        for mine, new in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mine.lerp_(new, 1 - keep)

    def validate(self, held_out: HeldOut, out: Path) -> dict[str, float]:
        """Scores of the averaged network. It becomes ``out``/best.safetensors where their mean is the best so far and the
        guarded ones lie no more than the allowance below those of the network that the run started from."""
        began = time.perf_counter()
        scores = validate(self.average, held_out)
        self.seconds += time.perf_counter() - began  # it is the run's time too: a run must end when it was said to
        settings = self.settings.validation
        guarded = {name: value for name, value in scores.items() if name in settings.guard}
        plain = float(np.mean(list(guarded.values()))) if guarded else 0.0
        means = [plain] if guarded else []
        means += [value for name, value in scores.items() if name not in settings.guard and name != "film_right"]
        summary = {"score": float(np.mean(means)), "plain_J": plain}
        self.first_scores = self.first_scores or summary
        if summary["score"] > self.best and plain >= self.first_scores["plain_J"] - settings.allowance:
            self.best = summary["score"]
            _replace(self.average, out / "best.safetensors")
        return summary | scores

    def save(self, folder: Path) -> None:
        """Replace ``folder``/checkpoint.pt and ``folder``/xmem.safetensors, each at once."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "iteration": self.iteration,
            "seconds": self.seconds,
            "first_scores": self.first_scores,
            "best": self.best,
        }
        torch.save(state, folder / "checkpoint.partial")
        os.replace(folder / "checkpoint.partial", folder / "checkpoint.pt")
        _replace(self.average, folder / "xmem.safetensors")

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
            self.first_scores, self.best = dict(state["first_scores"]), float(state["best"])
        except (RuntimeError, KeyError, ValueError) as error:
            raise TamDistError(
                f"The checkpoint {path} is not of this network; remove it or choose another out folder."
            ) from error
        self.iteration, self.seconds = int(state["iteration"]), float(state["seconds"])
        self._rng = np.random.default_rng([self.settings.seed, self.iteration])
        return True


def _replace(network: XMem, path: Path) -> None:
    partial = path.with_suffix(".partial")
    save_network(network, partial, half=True)
    os.replace(partial, path)


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


def _first_network(settings: TrainingSettings) -> XMem:
    if unknown := settings.widths.keys() - _WIDTHS:
        raise ConfigError(f"The training setting widths has no {sorted(unknown)[0]}; it takes {', '.join(_WIDTHS)}.")
    if small := [name for name, width in settings.widths.items() if width < 1]:
        raise ConfigError(f"The training setting widths.{small[0]} must be at least 1, not {settings.widths[small[0]]}.")
    if settings.start is None:
        return new_network(replace(SMALL, **settings.widths))  # type: ignore[arg-type]
    if settings.widths:
        raise ConfigError("The training setting widths is for a network from the start (start=null); weights have their own.")
    return load_network(Path(settings.start)).float().requires_grad_()


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
    library = Library(Path(data.cache), data.stills, data.videos, data.held_out)
    held_out = load_held_out(Path(data.cache), settings.validation)
    if network is None:
        network = _first_network(settings)
    trainer = Trainer(settings, network, device)
    log = Log(out / "log.jsonl")
    if trainer.resume(out):
        log.write({"resumed": trainer.iteration})
    source = ClipSource(
        library,
        settings.stages,
        settings.clips,
        object_shares=data.object_shares,
        hard_share=data.hard_share,
        seed=settings.seed,
    )
    _loop(trainer, source, held_out, out, log)
    return trainer.average


def load_held_out(cache: Path, settings: ValidationSettings) -> HeldOut:
    """The packed sequences and films that ``settings`` name."""
    sequences = {}
    for source, names in settings.sequences.items():
        packed = PackedPictures(cache / source)
        for name in names:
            sequences[name] = [packed[i] for i in packed.group(name)[:: settings.every.get(source, 1)]]
    films = [(PackedPictures(cache / name), count) for name, count in settings.films.items()]
    return HeldOut(sequences, films, PackedPictures(cache / settings.backdrops) if films else None)


def _loop(trainer: Trainer, source: ClipSource, held_out: HeldOut, out: Path, log: Log) -> None:
    reports, seen = trainer.settings.reports, []
    if reports.validate_minutes and not trainer.iteration:
        log.write(_position(trainer) | trainer.validate(held_out, out))  # what the run has to beat
    stream = ClipStream(source, first=trainer.iteration, workers=trainer.settings.data.workers)
    saved = validated = trainer.seconds
    began, waited = time.perf_counter(), 0.0
    while trainer.progress < 1:
        before = time.perf_counter()
        stream.set_progress(trainer.progress)
        batch = next(stream)
        waited += time.perf_counter() - before
        trainer.seconds += time.perf_counter() - before
        row, losses = trainer.step(batch)
        source.hard.note(batch.objects, batch.recipes, losses)
        seen.append(row)
        if trainer.iteration % reports.log_every == 0:
            speed = (time.perf_counter() - began) / len(seen)
            log.write(_position(trainer) | _mean(seen) | {"s_per_it": speed, "waiting": waited / len(seen)})
            seen, began, waited = [], time.perf_counter(), 0.0
        if trainer.seconds - saved >= 60 * reports.checkpoint_minutes:
            trainer.save(out)
            saved = trainer.seconds
        if reports.validate_minutes and trainer.seconds - validated >= 60 * reports.validate_minutes:
            log.write(_position(trainer) | trainer.validate(held_out, out))
            validated = trainer.seconds
    if reports.validate_minutes:
        log.write(_position(trainer) | trainer.validate(held_out, out))
    trainer.save(out)


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
