"""Filling in changes the objects filled in, and of others only pixels whose owner is clearly worse and not a person's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tam_dist.tracking.fill import CLEARLY, filled
from tam_dist.types import Basis, ChunkResult, Origin

FRAMES, SIDE, OBJECTS = 3, 4, 3
GIVEN = (Origin.PROMPTED, Origin.CORRECTED)
scores = st.sampled_from([0.1, 0.5, 0.65, 0.9, np.nan])


@st.composite
def results(draw: st.DrawFn, uuid: str) -> ChunkResult:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    origin = rng.choice([Origin.UNTRACKED, Origin.UNTRACKED, *Origin], (FRAMES, OBJECTS)).astype(np.uint8)
    quality = np.array(draw(st.lists(scores, min_size=9, max_size=9)), np.float32).reshape(FRAMES, OBJECTS)
    quality[origin == Origin.UNTRACKED] = np.nan
    labels = rng.integers(0, OBJECTS + 1, (FRAMES, SIDE, SIDE)).astype(np.uint8)
    tracked = np.concatenate([np.ones((FRAMES, 1), bool), (origin != Origin.UNTRACKED) & (origin != Origin.ABSENT)], 1)
    labels[~np.take_along_axis(tracked, labels.reshape(FRAMES, -1), 1).reshape(labels.shape)] = 0
    return ChunkResult(0, 0, labels, quality, origin, (uuid, "both"), Basis("p", "w", "s", uuid))


@settings(max_examples=300, deadline=None)
@given(stored=results("a"), found=results("b"))
def test_who_has_a_pixel_keeps_it_unless_clearly_worse(stored: ChunkResult, found: ChunkResult) -> None:
    merged = filled(stored, found)
    said = np.isin(stored.origin, GIVEN) | ((stored.origin == Origin.ABSENT) & np.isnan(stored.quality))
    new = ~said & (found.origin != Origin.UNTRACKED)
    assert np.array_equal(merged.origin, np.where(new, found.origin, stored.origin))
    assert np.array_equal(merged.quality, np.where(new, found.quality, stored.quality), equal_nan=True)
    for t, y, x in np.ndindex(stored.labels.shape):
        had, claims, has = (int(r.labels[t, y, x]) for r in (stored, found, merged))
        had = 0 if had and new[t, had - 1] else had
        if not claims or not new[t, claims - 1]:
            assert has == had
        elif not had:
            assert has == claims
        else:
            better = found.quality[t, claims - 1] > stored.quality[t, had - 1] + np.float32(CLEARLY)
            assert has == (claims if better and stored.origin[t, had - 1] not in GIVEN else had)
    assert merged.prompts == ("a", "both", "b")
    assert merged.basis == found.basis


@settings(max_examples=100, deadline=None)
@given(stored=results("a"), found=results("b"))
def test_filled_in_once_more_nothing_changes(stored: ChunkResult, found: ChunkResult) -> None:
    once = filled(stored, found)
    again = filled(once, found)
    assert np.array_equal(once.labels, again.labels)
    assert np.array_equal(once.origin, again.origin)


@pytest.mark.parametrize("origin", [Origin.PROMPTED, Origin.CORRECTED])
def test_a_mask_that_a_person_gave_keeps_all_its_pixels(origin: Origin) -> None:
    labels = np.full((1, 1, 2), 1, np.uint8)
    stored = ChunkResult(0, 0, labels, np.array([[0.1, np.nan]], np.float32), np.array([[origin, 0]], np.uint8))
    found = ChunkResult(0, 0, labels * 2, np.array([[np.nan, 1.0]], np.float32), np.array([[0, 2]], np.uint8))
    assert (filled(stored, found).labels == 1).all()
