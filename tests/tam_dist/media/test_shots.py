"""Cuts are found to the frame, whatever the chunks, and segments cover a film once."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tam_dist.media.shots import (
    COLUMNS,
    ROWS,
    CutFinder,
    Segment,
    cuts_of,
    find_cuts,
    scan,
    segments_at,
    signatures,
    without_short_shots,
)
from tam_dist.types import Cut


def scene(seed: int, length: int, speed: float = 0.5, height: int = 72, width: int = 128) -> np.ndarray:
    """uint8 (length, H, W, 3): a window that moves ``speed`` pixels a frame over a picture of soft patches."""
    across = width + int(speed * length) + 16
    patches = np.random.default_rng(seed).integers(20, 236, (height // 12 + 1, across // 12 + 1, 3), dtype=np.uint8)
    picture = cv2.resize(patches, (across, height), interpolation=cv2.INTER_LINEAR)
    return np.stack([picture[:, int(speed * t) : int(speed * t) + width] for t in range(length)])


def frames_of_cuts(film: np.ndarray) -> list[int]:
    return [cut.frame for cut in find_cuts(signatures(film))]


def test_hard_cuts_are_found_to_the_frame() -> None:
    film = np.concatenate([scene(i, length) for i, length in enumerate((20, 9, 30, 25))])
    assert frames_of_cuts(film) == [20, 29, 59]


def test_a_film_of_one_shot_has_none() -> None:
    assert frames_of_cuts(scene(0, 40)) == []
    assert frames_of_cuts(scene(0, 1)) == []
    assert find_cuts(np.empty((0, ROWS, COLUMNS, 3), np.uint8)) == []


def test_a_fast_pan_is_no_cut_and_a_cut_within_one_is() -> None:
    pan = scene(1, 40, speed=7)
    assert frames_of_cuts(np.concatenate([scene(1, 15, speed=0), pan, np.repeat(pan[-1:], 15, axis=0)])) == []
    assert frames_of_cuts(np.concatenate([scene(1, 25, speed=2), scene(2, 25, speed=2)])) == [25]


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_flash_is_no_cut(length: int) -> None:
    film = scene(3, 60).astype(float)
    for t in range(length):
        film[30 + t] += (255 - film[30 + t]) * 0.9 * (1 - t / length)
    assert frames_of_cuts(film.astype(np.uint8)) == []


def test_after_a_fade_the_shot_begins_with_its_first_picture() -> None:
    out, into = scene(4, 40).astype(float), scene(5, 40).astype(float)
    out[25:] *= np.linspace(1, 0, 15)[:, None, None, None]
    into[:15] *= np.linspace(0, 1, 15)[:, None, None, None]
    film = np.concatenate([out, np.zeros((5, *out.shape[1:])), into]).astype(np.uint8)
    (cut,) = frames_of_cuts(film)
    assert 45 < cut < 52
    assert frames_of_cuts(film[45:]) == []  # a film that begins in black begins once


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 40)), min_size=1, max_size=5), st.data())
def test_cuts_do_not_depend_on_the_chunks(parts: list[tuple[int, int]], data: st.DataObject) -> None:
    film = signatures(np.concatenate([scene(seed, length, height=36, width=64) for seed, length in parts]))
    borders = sorted({0, len(film), *data.draw(st.lists(st.integers(0, len(film)), max_size=6))})
    finder = CutFinder()
    found = [cut for a, b in pairwise(borders) for cut in finder.push(film[a:b])] + finder.finish()
    assert found == find_cuts(film)
    assert found == sorted(found)
    assert all(0 < cut.frame < len(film) for cut in found)


BLACK = st.tuples(st.just(-1), st.integers(1, 40))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 40)) | BLACK, min_size=1, max_size=5), st.data())
def test_stretches_scanned_by_themselves_give_the_cuts_of_the_whole(parts: list[tuple[int, int]], data: st.DataObject) -> None:
    scenes = [scene(max(seed, 0), length, height=36, width=64) * (seed >= 0) for seed, length in parts]
    film = signatures(np.concatenate(scenes).astype(np.uint8))
    borders = sorted({0, len(film), *data.draw(st.lists(st.integers(0, len(film)), max_size=6))})
    scans = []
    for start, stop in pairwise(borders):
        first = max(0, start - CutFinder.LATENCY - data.draw(st.integers(0, 5)))
        scans.append(scan(film[first : stop + CutFinder.LATENCY + data.draw(st.integers(0, 5))], first, start, stop))
    assert cuts_of(data.draw(st.permutations(scans))) == find_cuts(film)


def test_a_finder_tells_a_cut_soon_and_holds_little() -> None:
    film = signatures(np.concatenate([scene(0, 30), scene(1, 300)]))
    finder = CutFinder()
    assert finder.push(film[: 30 + CutFinder.LATENCY]) == []
    assert [cut.frame for cut in finder.push(film[30 + CutFinder.LATENCY :][:1])] == [30]


def test_signatures_are_of_the_whole_picture_at_any_size() -> None:
    for height, width in ((1, 1), (5, 7), (2, 4000), (1080, 1920)):
        frame = np.zeros((1, height, width, 3), np.uint8)
        frame[:, :, -(-width // 2) :, 0] = 255
        mark = signatures(frame)
        assert mark.shape == (1, ROWS, COLUMNS, 3)
        assert not mark[..., 1:].any()
        if width > 100:
            assert (mark[:, :, 20:, 0] == 255).all()
            assert (mark[:, :, :12, 0] == 0).all()


# --- from cuts to work -------------------------------------------------------------------------------------------------

CUTS = st.lists(st.builds(Cut, st.integers(-2, 420), st.floats(0, 1, width=16)), max_size=30)


@settings(deadline=None)
@given(CUTS, st.integers(0, 400), st.integers(1, 40), st.integers(1, 60), st.none() | st.integers(1, 300))
def test_segments_cover_the_film_once(cuts: list[Cut], frames: int, size: int, least: int, most: int | None) -> None:
    most = None if most is None else max(most, size)
    segments = segments_at(cuts, frames, size, least=least, most=most)
    chunks = -(-frames // size)
    assert [c for s in segments for c in range(s.first, s.stop)] == list(range(chunks))
    assert all(s.first < s.stop for s in segments)
    if most is not None:
        assert all((s.stop - s.first) * size <= most for s in segments)
    assert all(s.first * size < f < min(s.stop * size, frames) for s in segments for f in s.cuts)
    borders = {s.first * size for s in segments}
    kept = without_short_shots(cuts, frames, least)
    for cut in kept:  # each shot begins at a border, or as near to one as half a chunk, but for the film's ends
        near = min((abs(cut.frame - edge) for edge in (*borders, chunks * size)), default=0)
        assert near <= size / 2
    assert segments == segments_at(list(reversed(cuts)), frames, size, least=least, most=most) or len(
        {c.frame for c in cuts}
    ) < len(cuts)


@settings(deadline=None)
@given(CUTS, st.integers(1, 400), st.integers(1, 60))
def test_no_shot_that_remains_is_short(cuts: list[Cut], frames: int, least: int) -> None:
    kept = without_short_shots(cuts, frames, least)
    assert set(kept) <= set(cuts)
    edges = [0, *(cut.frame for cut in kept), frames]
    if kept:
        assert min(b - a for a, b in pairwise(edges)) >= least
    assert without_short_shots(kept, frames, least) == kept


def test_a_segment_of_less_than_a_chunk_is_refused() -> None:
    with pytest.raises(ValueError, match="holds no chunk"):
        segments_at([], 100, 16, most=15)


def test_long_shots_are_cut_into_equal_parts() -> None:
    assert segments_at([], 160, 16, most=64) == (Segment(0, 3), Segment(3, 6), Segment(6, 10))
