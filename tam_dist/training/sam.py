"""Train the embedded SAM: ``python -m tam_dist.training.sam configs/training/sam.yaml [key=value …]``.

Resumable: run the same command again. The schedule goes by minutes spent, so that it ends when it should on any machine, or,
where ``max_steps`` is set, by steps, so that the same run can be made again anywhere. Log lines go to
``<output>/log.jsonl``, the running state to ``<output>/state.pt``, the averaged weights to ``<output>/sam.safetensors``,
which the embedded model's file is a copy of.
"""

from __future__ import annotations

import copy
import json
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor, nn

from tam_dist.errors import ConfigError
from tam_dist.models.sam.build import Sam, SmallSamConfig, build_small_sam, resize_input
from tam_dist.models.sam.lite_prompts import draw_hints
from tam_dist.models.sam.weights import load_sam, save_sam
from tam_dist.training.image_data import (
    LabelledImage,
    TrainingImage,
    list_packed,
    list_stills,
    list_video_frames,
    make_training_image,
)
from tam_dist.training.mixed import mixed_precision
from tam_dist.training.sam_init import align_positions
from tam_dist.training.sam_losses import CLEAR, sam_loss
from tam_dist.training.sam_prompts import draw_correction, draw_prompts
from tam_dist.training.trunk import load_imagenet_trunk

# How many images share a training square, and how often.
_TILES = (1, 2, 4)
_TILE_SHARES = (0.65, 0.28, 0.07)


@dataclass
class DataConfig:
    """``stills``: folder of images, masks and regions; ``video``: DAVIS-like folder or null; ``cache``: folder that
    ``tam_dist.training.prepare`` made, of whose sources those in ``packed`` are mixed in, or null; ``heldout``: file of names
    that are never trained on."""

    stills: str = MISSING
    heldout: str = MISSING
    video: str | None = None
    video_every: int = 5
    cache: str | None = None
    packed: list[str] = field(default_factory=list)


@dataclass
class Stage:
    """From ``start`` (share of the time, 0..1) on: input size in pixels, multiple of 32."""

    start: float = MISSING
    image_size: int = MISSING


@dataclass
class TrainingConfig:
    """``start``: small SAM weights to go on from, null: the ImageNet trunk, the rest random. ``single``: the share, 0..1, that
    the single mask, which answers when SAM is asked, has in the loss on one click's masks; the alternatives have the rest.
    ``max_steps``: the schedule goes by steps and ends there. ``precision``: :func:`mixed_precision`, of
    encoder and decoder."""

    data: DataConfig = field(default_factory=DataConfig)
    model: SmallSamConfig = field(default_factory=SmallSamConfig)
    output: str = MISSING
    minutes: float = MISSING
    stages: list[Stage] = MISSING
    images_per_step: int = MISSING
    prompts_per_image: int = MISSING
    rounds: list[int] = MISSING
    single: float = MISSING
    learning_rate: float = MISSING
    trunk_learning_rate: float = MISSING
    trunk_frozen_stages: int = MISSING
    trunk_start: float = MISSING
    weight_decay: float = MISSING
    average: float = MISSING
    save_every_minutes: float = MISSING
    imagenet_trunk: bool = True
    start: str | None = None
    device: str = "cpu"
    threads: int = 1
    precision: str = "auto"
    seed: int = 0
    max_steps: int | None = None


class SamTrainer:
    """The model, its average, the optimiser and where they are in the schedule."""

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config
        self.device = torch.device(config.device)
        self._precision = mixed_precision(config.precision, self.device)
        self.output = Path(config.output)
        torch.manual_seed(config.seed)
        self.sam = build_small_sam(config.model)
        if config.start is not None:
            self.sam.load_state_dict(load_sam(config.start).state_dict())
        else:
            if config.imagenet_trunk:
                load_imagenet_trunk(self.sam.image_encoder.trunk)
            align_positions(self.sam)
        # Its depthwise convolutions are a fifth faster on a CPU with the channels last.
        self.sam.to(self.device).image_encoder.to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.sam).requires_grad_(False)
        trunk = self.sam.image_encoder.trunk
        frozen = nn.ModuleList([trunk.stem, *trunk.stages[: config.trunk_frozen_stages]])
        frozen.requires_grad_(False)
        self.trunk_learnt = [parameter for parameter in trunk.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(_parameter_groups(self.sam, config), betas=(0.9, 0.98), fused=True)
        self.step = 0
        self.elapsed = 0.0  # seconds of training, over all runs
        if (self.output / "state.pt").exists():
            self._resume()

    # --- schedule ----------------------------------------------------------------------------------------------------

    @property
    def progress(self) -> float:
        """0..1 of the run's steps where they are limited, else of its time."""
        if self.config.max_steps is not None:
            return min(1.0, self.step / self.config.max_steps)
        return min(1.0, self.elapsed / (60 * self.config.minutes))

    def _image_size(self) -> int:
        return [stage for stage in self.config.stages if stage.start <= self.progress][-1].image_size

    def _set_learning_rate(self) -> None:
        factor = min(1.0, (self.step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * self.progress))
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * max(factor, 0.01)

    # --- training ----------------------------------------------------------------------------------------------------

    def run(self, items: list[LabelledImage]) -> None:
        """Train until the steps or the time are used up."""
        self.output.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng((self.config.seed, self.step))
        images = self._views(items, rng)
        figures: dict[str, list[float]] = {}
        last_save, started = time.monotonic(), time.monotonic()
        before = self.elapsed
        while self.progress < 1:
            resize_input(self.sam, self._image_size())
            for key, value in self._train_step([next(images) for _ in range(self.config.images_per_step)], rng).items():
                figures.setdefault(key, []).append(value)
            self.elapsed = before + time.monotonic() - started
            if self.step % 50 == 0:
                self._log(figures)
                figures = {}
            if time.monotonic() - last_save > 60 * self.config.save_every_minutes:
                self.save()
                last_save = time.monotonic()
        self.save()

    def _views(self, items: list[LabelledImage], rng: np.random.Generator) -> Iterator[TrainingImage]:
        shuffled = _forever(items, rng)
        while True:
            tiles = int(rng.choice(_TILES, p=_TILE_SHARES))
            some = [next(shuffled) for _ in range(tiles)]
            view = make_training_image(some, self._image_size(), self.config.prompts_per_image, rng)
            if view is not None:
                yield view

    def _train_step(self, views: list[TrainingImage], rng: np.random.Generator) -> dict[str, float]:
        self._set_learning_rate()
        for parameter in self.trunk_learnt:
            parameter.requires_grad_(self.progress >= self.config.trunk_start)
        loss, figures = self._loss(views, rng)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.sam.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self._update_average()
        return figures

    def _loss(self, views: list[TrainingImage], rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """The mean over some rounds of corrections: each is shown what the last one predicted and one more click."""
        with self._mixed():
            embeddings = self.sam.image_encoder(self._normalised(views)).float()
        all_targets = np.concatenate([view.targets for view in views])
        all_known = np.concatenate([np.broadcast_to(view.known, view.targets.shape) for view in views])
        targets, known = self._tensor(all_targets), self._tensor(all_known)
        prompts = draw_prompts(all_targets, rng)
        count = len(all_targets)
        points = np.zeros((count, 0, 2), np.float32) if prompts.points is None else prompts.points
        labels = np.zeros((count, 0), np.int64) if prompts.labels is None else prompts.labels
        masks = None if prompts.masks is None else self._tensor(prompts.masks)
        boxes = None if prompts.boxes is None else self._tensor(prompts.boxes)
        total = torch.zeros((), device=self.device)
        figures: dict[str, float] = {}
        rounds = int(rng.integers(self.config.rounds[0], self.config.rounds[1] + 1))
        for turn in range(rounds):
            given = (self._tensor(points), self._tensor(labels)) if points.shape[1] else None
            plane = draw_hints(given, boxes, masks, targets.shape[-1])
            sparse, dense = self.sam.prompt_encoder(points=given, boxes=boxes, masks=plane)
            with self._mixed():
                logits, predicted = decode_images(self.sam, embeddings, sparse, dense)
            logits, predicted = logits.float(), predicted.float()
            ambiguous = turn == 0 and prompts.kind == "click"
            loss, ious = sam_loss(logits, predicted, targets, known, single=self.config.single if ambiguous else CLEAR)
            total = total + loss / rounds
            figures[f"{prompts.kind}{turn}"] = float(ious[:, 0].mean())
            figures[f"error{turn}"] = float((predicted[:, 0].detach() - ious[:, 0]).abs().mean())
            if turn + 1 < rounds:
                masks = logits[:, :1].detach()
                new = [
                    draw_correction(mask > 0, target, sure > 0.5, rng)
                    for mask, target, sure in zip(masks[:, 0].cpu().numpy(), all_targets, all_known, strict=True)
                ]
                points = np.concatenate([points, np.stack([[point] for point, _ in new])], axis=1)
                labels = np.concatenate([labels, np.array([[label] for _, label in new], np.int64)], axis=1)
        return total, figures | {"loss": float(total.detach())}

    def _normalised(self, views: list[TrainingImage]) -> Tensor:
        """float (B, 3, S, S); the padding is zero after normalisation, as in ``Sam.preprocess``."""
        return torch.stack(
            [
                self.sam.preprocess(self._tensor(view.image[: view.extent[0], : view.extent[1]].copy()).permute(2, 0, 1))
                for view in views
            ]
        ).contiguous(memory_format=torch.channels_last)

    def _mixed(self) -> torch.autocast:
        return self._precision.autocast(self.device)

    def _tensor(self, array: np.ndarray[Any, Any]) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    @torch.no_grad()
    def _update_average(self) -> None:
        weight = min(self.config.average, (self.step + 1) / (self.step + 10))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.sam.parameters()), 1 - weight)

    # --- files -------------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """The resumable state and the averaged model, each put in place by a rename."""
        state = {
            "sam": self.sam.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "elapsed": self.elapsed,
        }
        partial = self.output / "state.pt.partial"
        torch.save(state, partial)
        partial.replace(self.output / "state.pt")
        resize_input(self.average, self.config.model.image_size)
        save_sam(self.average, self.config.model, self.output / "sam.safetensors")

    def _resume(self) -> None:
        state = torch.load(self.output / "state.pt", map_location=self.device, weights_only=True)
        self.sam.load_state_dict(state["sam"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        for group, fresh in zip(self.optimizer.param_groups, _parameter_groups(self.sam, self.config), strict=True):
            group["peak"] = fresh["peak"]  # a changed configuration wins over the stored one
        self.step, self.elapsed = state["step"], state["elapsed"]

    def _log(self, figures: dict[str, list[float]]) -> None:
        means = {key: round(float(np.mean(values)), 4) for key, values in sorted(figures.items())}
        line = {"step": self.step, "minutes": round(self.elapsed / 60, 2), "size": self._image_size(), **means}
        with (self.output / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")


def decode_images(sam: Sam, embeddings: Tensor, sparse: Tensor, dense: Tensor) -> tuple[Tensor, Tensor]:
    """``MaskDecoder.predict_masks`` for several images at once, which segment-anything's own takes one at a time.

    ``embeddings`` (B, C, g, g); ``sparse`` (B * P, N, C) and ``dense`` (B * P, C, g, g), P prompts of each image in turn.
    Returns logits (B * P, 4, G, G) and predicted IoUs (B * P, 4).
    """
    decoder = sam.mask_decoder
    count = len(sparse)
    tokens = torch.cat((decoder.iou_token.weight, decoder.mask_tokens.weight)).expand(count, -1, -1)
    source = embeddings.repeat_interleave(count // len(embeddings), dim=0) + dense
    position = sam.prompt_encoder.get_dense_pe().expand(count, -1, -1, -1)
    out, source = decoder.transformer(source, position, torch.cat((tokens, sparse), dim=1))
    upscaled = decoder.output_upscaling(source.transpose(1, 2).reshape(count, -1, *embeddings.shape[-2:]))
    weights = torch.stack([mlp(out[:, 1 + i]) for i, mlp in enumerate(decoder.output_hypernetworks_mlps)], dim=1)
    return torch.einsum("nmc,nchw->nmhw", weights, upscaled), decoder.iou_prediction_head(out[:, 0])


def _forever(items: list[LabelledImage], rng: np.random.Generator) -> Iterator[LabelledImage]:
    while True:
        yield from (items[index] for index in rng.permutation(len(items)))


def _parameter_groups(sam: Sam, config: TrainingConfig) -> list[dict[str, Any]]:
    """Trunk and rest learn at their own rates; norms, biases and embeddings do not decay."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in sam.named_parameters():
        if parameter.requires_grad:
            key = (name.startswith("image_encoder.trunk."), parameter.ndim > 1 and "token" not in name and "embed" not in name)
            groups.setdefault(key, []).append(parameter)
    return [
        {
            "params": parameters,
            "peak": config.trunk_learning_rate if trunk else config.learning_rate,
            "weight_decay": config.weight_decay if decays else 0.0,
        }
        for (trunk, decays), parameters in groups.items()
    ]


def load_items(config: DataConfig) -> list[LabelledImage]:
    """Everything that may be trained on. Raises :class:`ConfigError` where the data or the held-out list is missing."""
    heldout = Path(config.heldout)
    if not heldout.is_file():
        raise ConfigError(f"The list of held-out images {heldout} (data.heldout) does not exist; training could see them.")
    names = set(heldout.read_text(encoding="utf-8").split())
    items = [item for item in list_stills(Path(config.stills)) if item.name not in names]
    if config.cache:
        # One photograph has different names in different copies of COCO; the number in it is the same.
        numbers = {name.rpartition("_")[2] for name in names if name.startswith("coco_")}
        packed = [item for source in config.packed for item in list_packed(Path(config.cache) / source)]
        items += [item for item in packed if item.name not in names | numbers]
    if config.video:
        items += list_video_frames(Path(config.video), every=config.video_every)
    return items


def load_training_config(path: str, overrides: list[str]) -> TrainingConfig:
    """Raises :class:`ConfigError` naming the file where it does not hold a training configuration."""
    try:
        merged = OmegaConf.merge(OmegaConf.structured(TrainingConfig), OmegaConf.load(path), OmegaConf.from_dotlist(overrides))
        return cast(TrainingConfig, OmegaConf.to_object(merged))
    except (OSError, OmegaConfBaseException) as error:
        raise ConfigError(f"The training configuration {path} cannot be used: {error}.") from error


def main(arguments: list[str]) -> None:
    if not arguments:
        raise ConfigError("Usage: python -m tam_dist.training.sam CONFIG [key=value …]")
    config = load_training_config(arguments[0], arguments[1:])
    torch.set_num_threads(config.threads)
    SamTrainer(config).run(load_items(config.data))


if __name__ == "__main__":
    main(sys.argv[1:])
