"""Quality over time, one lane an object, with what people gave and what the tracker did marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tam_dist.inspection.saving import save_figure
from tam_dist.project import Project
from tam_dist.types import Absent, BoolArray, FloatArray, Origin, UInt8Array

#: Lanes to one picture; a lane's height in inches.
MAX_LANES, _LANE = 24, 1.15
#: Columns that a curve is drawn with: of more frames each column shows its worst, as a dip must not vanish.
_COLUMNS = 1600
_GROUND, _INK, _DIM = "#131418", "#eceef2", "#8b909c"


@dataclass(frozen=True, eq=False)
class Lane:
    """One object: ``quality`` float32 (T,), NaN where it was not tracked; ``origin`` uint8 (T,); frames with prompts."""

    name: str
    colour: tuple[float, ...]
    quality: FloatArray
    origin: UInt8Array
    prompts: tuple[int, ...]


def plot_quality(project: Project, path: Path, *, cuts: Sequence[int] = ()) -> Path:
    """Write the PNG ``path``; ``cuts`` are frames that begin a shot. Raises :class:`StorageError` where it can't be written."""
    quality, origin = project.quality[:], project.origin[:]
    lanes = []
    for column, tracked in enumerate(project.objects[:MAX_LANES]):
        asked = tuple(p.frame for p in project.prompts if p.object_name == tracked.name and not isinstance(p.data, Absent))
        colour = tuple(c / 255 for c in tracked.colour)
        lanes.append(Lane(tracked.name, colour, quality[:, column], origin[:, column], asked))
    return save_figure(draw_lanes(lanes, cuts, title=Path(project.video.uri).name, fps=float(project.video.fps)), path)


def draw_lanes(lanes: Sequence[Lane], cuts: Sequence[int], *, title: str, fps: float) -> Figure:
    """The figure alone."""
    figure = Figure(figsize=(14, 1.5 + _LANE * max(1, len(lanes))), facecolor=_GROUND, layout="constrained")
    axes: list[Axes] = list(figure.subplots(max(1, len(lanes)), 1, sharex=True, squeeze=False)[:, 0])
    figure.suptitle(title, color=_INK, fontsize=12, x=0.01, ha="left")
    for lane, ax in zip(lanes, axes, strict=False):
        _draw(ax, lane, cuts)
    last = axes[-1]
    last.set_xlabel(f"frame ({fps:.3g} a second)", color=_DIM, fontsize=9)
    handles, names = _legend(axes)
    figure.legend(handles, names, loc="upper right", ncols=len(names), frameon=False, labelcolor=_DIM, fontsize=9)
    return figure


def _draw(ax: Axes, lane: Lane, cuts: Sequence[int]) -> None:
    ax.set_facecolor(_GROUND)
    ax.set_ylim(-0.04, 1.04)
    ax.set_xlim(0, max(1, len(lane.quality) - 1))
    ax.set_yticks([0, 0.5, 1])
    ax.tick_params(colors=_DIM, labelsize=8)
    for side in ax.spines.values():
        side.set_visible(False)
    ax.grid(axis="y", color="#2a2c33", linewidth=0.6)
    ax.set_ylabel(lane.name, color=_INK, fontsize=10, rotation=0, ha="right", va="center")
    for first, last in runs(lane.origin == Origin.ABSENT):
        ax.axvspan(first - 0.5, last + 0.5, color="#3a3d46", linewidth=0, label="absent")
    for cut in cuts:
        ax.axvline(cut - 0.5, color="#5b606d", linewidth=0.8, linestyle=(0, (2, 2)), label="cut")
    at, worst = worst_of(lane.quality, _COLUMNS)
    ax.plot(at, worst, color=lane.colour, linewidth=1.4)
    refined = np.flatnonzero(lane.origin == Origin.REFINED)
    ax.plot(refined, lane.quality[refined], "o", color=_INK, markersize=4, markerfacecolor=_GROUND, label="refined by SAM")
    ax.plot(lane.prompts, [1.0] * len(lane.prompts), "v", color=_INK, markersize=7, clip_on=False, label="prompt")


def _legend(axes: Sequence[Axes]) -> tuple[list[Artist], list[str]]:
    found: dict[str, Artist] = {}
    for ax in axes:
        for handle, name in zip(*ax.get_legend_handles_labels(), strict=True):
            found.setdefault(name, handle)
    return list(found.values()), list(found)


def worst_of(values: FloatArray, columns: int) -> tuple[FloatArray, FloatArray]:
    """At most ``columns`` points (frame, lowest value of its stretch); NaN where a whole stretch is.

    >>> worst_of(np.array([0.75, 0.25, 0.5, np.nan], np.float32), 2)[1].tolist()
    [0.25, 0.5]
    """
    if len(values) <= columns:
        return np.arange(len(values), dtype=np.float32), values
    starts = np.linspace(0, len(values), columns, endpoint=False).astype(int)
    lowest = np.fmin.reduceat(values, starts)
    return starts.astype(np.float32), lowest.astype(np.float32)


def runs(flags: BoolArray) -> list[tuple[int, int]]:
    """(first, last) of each stretch of True.

    >>> runs(np.array([False, True, True, False, True]))
    [(1, 2), (4, 4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]
