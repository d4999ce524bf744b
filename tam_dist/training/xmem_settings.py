"""Settings and schedules of XMem's training; ``configs/training/xmem.yaml`` says what each setting means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tam_dist.errors import ConfigError
from tam_dist.training.clips import ClipSettings
from tam_dist.training.video_data import Stage


@dataclass
class DataSettings:
    cache: str = MISSING
    stills: dict[str, float] = MISSING
    videos: dict[str, float] = MISSING
    held_out: list[str] = MISSING
    workers: int = MISSING
    object_shares: list[float] = MISSING
    hard_share: float = MISSING


@dataclass
class ValidationSettings:
    sequences: dict[str, list[str]] = MISSING
    every: dict[str, int] = MISSING
    films: dict[str, int] = MISSING
    backdrops: str = MISSING
    guard: list[str] = MISSING
    allowance: float = MISSING


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
    matching: float = MISSING
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
    out: str = MISSING
    start: str | None = MISSING
    widths: dict[str, int] = MISSING
    seed: int = MISSING
    device: str = MISSING
    threads: int = MISSING
    precision: str = MISSING
    data: DataSettings = MISSING
    clips: ClipSettings = MISSING
    stages: list[Stage] = MISSING
    validation: ValidationSettings = MISSING
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
    if progress >= stop:
        return share
    along = min(1.0, max(0.0, (progress - start) / (stop - start)))
    return 1 + (share - 1) * along
