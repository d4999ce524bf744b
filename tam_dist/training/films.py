"""Short films of people (or pigs) who look alike, with a cut in the middle: who was tracked before must be tracked after.

Made from sources that are not trained on, always the same for the same seed, so that checkpoints can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tam_dist.training.clips import ClipSettings, Cutout, Shot, backdrop_layer, film
from tam_dist.training.crowds import cut_out, stage
from tam_dist.training.layers import UNTRACKED, Clip, Layer, Looks, Picture
from tam_dist.training.packed import PackedPictures, TrainingDataError

FILM_LENGTH = 16
FILM_CUT = 8
_DRAWS = 1000


def look_alike_film(packed: PackedPictures, backdrops: PackedPictures, seed: int, *, size: int = 256) -> Clip:
    """:data:`FILM_LENGTH` frames of two or three different things of one kind, 1 the tracked one; from :data:`FILM_CUT` on
    they stand elsewhere, before another backdrop, in another size. Nobody leaves."""
    rng = np.random.default_rng([seed, 7])
    settings = replace(ClipSettings(), motion=0.04, gone=0.0, jolt=0.0, looks=Looks(warp=0.012, grey=0.0))
    cast = draw_cast(rng, packed, int(rng.integers(2, 4)))
    grounds = [backdrops[int(i)] for i in rng.choice(len(backdrops), 2, replace=False)]
    shares = [float(s) for s in rng.uniform(0.35, 0.65, 2)]

    def layers(shot: Shot) -> list[Layer]:
        number = int(shot.start > 0)
        ground = backdrop_layer(rng, grounds[number], shot.stop - shot.start, settings)
        return [ground, *stage(rng, cast, shot, shares[number], settings)]

    for _ in range(20):
        made = film(rng, layers, [Shot(0, FILM_CUT), Shot(FILM_CUT, FILM_LENGTH)], size, settings)
        seen = (made.instances == 1).mean(axis=(1, 2))
        if seen.min() > 0.004:
            return made
    raise TrainingDataError(f"{packed.folder} gives no film {seed} in which the tracked thing stays in sight.")


def film_pictures(clip: Clip) -> list[Picture]:
    """The frames with their instances, for :func:`tam_dist.training.xmem_validate.follow`."""
    return [Picture(frame, labels) for frame, labels in zip(clip.frames, clip.instances, strict=True)]


def right_one(found: Sequence[np.ndarray], clip: Clip) -> bool:
    """Whether after the cut more of the masks ``found`` (bool (S, S), one a frame) lies on the tracked thing than on others,
    and it is followed at all: J over the frames after the cut above 0.3."""
    after = range(FILM_CUT, FILM_LENGTH)
    mine = [clip.instances[t] == 1 for t in after]
    others = [(clip.instances[t] >= UNTRACKED + 30) & (clip.instances[t] < 255) for t in after]
    masks = [found[t] for t in after]
    on_mine = sum(np.count_nonzero(m & a) for m, a in zip(masks, mine, strict=True))
    on_others = sum(np.count_nonzero(m & a) for m, a in zip(masks, others, strict=True))
    union = sum(np.count_nonzero(m | a) for m, a in zip(masks, mine, strict=True))
    return bool(on_mine > on_others and on_mine > 0.3 * union)


def draw_cast(
    rng: np.random.Generator, packed: PackedPictures, count: int, pictures: Sequence[int] | None = None
) -> list[Cutout]:
    """``count`` things of ``packed``, from some of its ``pictures`` (None: any); the first one is the tracked one.

    Raises :class:`TrainingDataError` where hardly any is large enough.
    """
    chosen = range(len(packed)) if pictures is None else pictures
    actors: list[Cutout] = []
    for _ in range(_DRAWS):
        if len(actors) == count:
            return actors
        number = chosen[int(rng.integers(len(chosen)))]
        found = cut_out(packed[number], int(rng.integers(1, 1 + len(packed.kinds[number]))), smallest=60)
        if found is not None:
            new = 1 if not actors else UNTRACKED + 30 + len(actors)
            actors.append(replace(found, new=new))
    raise TrainingDataError(f"{packed.folder} shows too few things that are large enough for a film.")
