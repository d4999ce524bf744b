"""Tracking films whose objects come back, and scoring whether they are known again: what segments are judged by."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tam_dist.config import Config
from tam_dist.evaluation.films import Film
from tam_dist.evaluation.metrics import contour_accuracy, region_similarity
from tam_dist.preparation import prepare
from tam_dist.project import Project
from tam_dist.prompts import in_given_order, new_prompt
from tam_dist.running import run_inline
from tam_dist.types import LabelArray, Mask, Prompt

#: Mean J over a shot above which its object counts as known again.
_KNOWN = 0.3


@dataclass(frozen=True)
class FilmScore:
    """Of one object of a film. ``j`` and ``f`` are means over the frames that it is in, but for the prompted ones; ``known``:
    of the shots in which it comes back without a prompt, those in which it is followed (mean J above 0.3), of ``returns``;
    ``false``: the share of frames without it in which something is marked as it.
    """

    film: str
    object: int
    prompted: int
    j: float
    f: float
    known: int
    returns: int
    false: float

    @property
    def j_and_f(self) -> float:
        return (self.j + self.f) / 2


@dataclass(frozen=True)
class Summary:
    """Means over objects; ``known`` of ``returns`` over all of them."""

    j_and_f: float
    known: int
    returns: int
    false: float


def summary(scores: Sequence[FilmScore]) -> Summary:
    """Of at least one score."""
    return Summary(
        float(np.mean([s.j_and_f for s in scores])),
        sum(s.known for s in scores),
        sum(s.returns for s in scores),
        float(np.mean([s.false for s in scores])),
    )


Tell = Callable[[FilmScore], None]


def evaluate_films(films: Sequence[Film], config: Config, prompted: int, *, tell: Tell | None = None) -> list[FilmScore]:
    """Track every film, with the masks of ``prompted`` frames an object, and score it."""
    scores = []
    with tempfile.TemporaryDirectory() as folder:
        for film in films:
            video = film.write(Path(folder) / film.name)
            prompts = prompts_of(film, prompted)
            job = prepare(str(video), prompts, str(Path(folder) / f"{film.name}-project"), config)
            (outcome,) = run_inline([job], config)
            outcome.raise_failure()
            project = Project.open(outcome.project)
            names = {int(o.name): o.id for o in project.objects}
            found = score_film(film, project.labels[0 : len(film.frames)], names, prompted)
            scores += found
            for each in found:
                if tell is not None:
                    tell(each)
    return scores


def prompts_of(film: Film, count: int) -> list[Prompt]:
    """The true masks of ``count`` frames an object, which is named by its number."""
    given = [(frame, number) for number in (1, 2) for frame in film.spread(number, count)]
    prompts = [new_prompt(t, str(number), Mask.from_array(film.labels[t] == number)) for t, number in given]
    return in_given_order(prompts)


def score_film(film: Film, labels: LabelArray, ids: Mapping[int, int], prompted: int) -> list[FilmScore]:
    """``labels`` (T, H, W) as tracked; ``ids``: the label there of each object."""
    return [_score(film, labels, number, ids[number], prompted) for number in (1, 2)]


def _score(film: Film, labels: LabelArray, number: int, label: int, prompted: int) -> FilmScore:
    given, visible = set(film.spread(number, prompted)), set(film.visible(number))
    j, f, false = {}, [], []
    for t in range(len(film.frames)):
        ours, truth = labels[t] == label, film.labels[t] == number
        if t not in visible:
            false.append(bool(ours.any()))
        elif t not in given:
            j[t] = region_similarity(ours, truth)
            f.append(contour_accuracy(ours, truth))
    returns = [shot for shot in film.shots if not visible.isdisjoint(shot) and given.isdisjoint(shot)]
    known = sum(_mean([j[t] for t in shot if t in j]) > _KNOWN for shot in returns)
    return FilmScore(film.name, number, prompted, _mean([*j.values()]), _mean(f), known, len(returns), _mean(false))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
