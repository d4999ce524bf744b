"""Videos read back as their users do: frame times, sound, and alpha through a decoder that knows of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tam_dist.media.reader import open_video
from tam_dist.project import Project
from tam_dist.types import LabelArray
from tests.finished import finished_project, shapes
from tests.tam_dist.export.conftest import FRAMES, HEIGHT, NAMES, WIDTH

BIG_HEIGHT, BIG_WIDTH, COUNT, RATE = 96, 129, 24, 25


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """An odd-sized clip with uneven frame times and sound."""
    folder = tmp_path_factory.mktemp("film")
    path = folder / "film.mkv"
    with av.open(str(path), "w") as out:
        pictures = out.add_stream("ffv1", rate=RATE)
        pictures.width, pictures.height, pictures.pix_fmt = BIG_WIDTH, BIG_HEIGHT, "yuv444p"
        sound = out.add_stream("aac", rate=44100, layout="mono")
        ground = np.full((BIG_HEIGHT, BIG_WIDTH, 3), (180, 90, 40), np.uint8)
        for t in range(COUNT):
            frame = av.VideoFrame.from_ndarray(ground, format="rgb24")
            frame.pts = t + (t // 5)  # a pause every five frames
            out.mux(pictures.encode(frame))
        out.mux(pictures.encode())
        samples = int(44100 * COUNT * 1.2 / RATE)
        for start in range(0, samples, 1024):
            block = np.sin(np.arange(start, start + 1024) / 20).astype(np.float32)[None] * 0.3
            piece = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
            piece.rate, piece.pts = 44100, start
            out.mux(sound.encode(piece))
        out.mux(sound.encode())
    return finished_project(folder / "p", path, shapes(COUNT, BIG_HEIGHT, BIG_WIDTH), NAMES)


def seconds_of(path: Path, kind: str) -> list[float]:
    with av.open(str(path)) as container:
        return [float(p.pts * p.time_base) for p in container.demux(getattr(container.streams, kind)[0]) if p.size]


def source_seconds(film: Project) -> np.ndarray:
    with open_video(film.video.uri) as reader:
        return (reader.pts - reader.pts[0]) * float(reader.info.time_base)


def test_an_overlay_keeps_times_and_sound(film: Project, tmp_path: Path) -> None:
    film.export("overlay", tmp_path / "o.mp4")
    np.testing.assert_allclose(sorted(seconds_of(tmp_path / "o.mp4", "video")), source_seconds(film), atol=2e-3)
    assert len(seconds_of(tmp_path / "o.mp4", "audio")) == len(seconds_of(Path(film.video.uri), "audio"))
    film.export("overlay", tmp_path / "mute.mp4", sound=False)
    with av.open(str(tmp_path / "mute.mp4")) as container:
        assert not container.streams.audio


def test_an_overlay_of_a_part_begins_at_its_first_frame_with_the_sound_of_then(film: Project, tmp_path: Path) -> None:
    film.export("overlay", tmp_path / "o.mp4", frames=(10, 17))
    times = source_seconds(film)[10:18]
    np.testing.assert_allclose(sorted(seconds_of(tmp_path / "o.mp4", "video")), times - times[0], atol=2e-3)
    sound = seconds_of(tmp_path / "o.mp4", "audio")
    assert 0 <= sound[0] < 0.05
    assert sound[-1] < times[-1] - times[0] + 0.2


def test_an_overlay_shows_the_colours_of_the_chosen_objects_only(film: Project, tmp_path: Path) -> None:
    film.export("overlay", tmp_path / "o.mp4", objects=["cat"])
    labels = film.labels[8]
    with open_video(tmp_path / "o.mp4") as drawn, open_video(film.video.uri) as plain:
        difference = np.abs(drawn.read(8, 9)[0, :BIG_HEIGHT, :BIG_WIDTH].astype(int) - plain.read(8, 9)[0]).sum(axis=2)
    inside = labels == 1
    inside[:22] = False  # the name's tag lies there
    assert np.median(difference[labels == 1]) > 60
    assert np.median(difference[(labels == 2) | (labels == 3)]) < 20


def alphas(path: Path, codec: str | None) -> Iterator[np.ndarray]:
    """0..1 (H, W) of every frame. FFmpeg's own VP9 decoder drops alpha, so the one of libvpx must be asked for; and FFmpeg's
    threads write over each other's rows when they convert odd widths to RGBA, so the plane is read as it is.
    """
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoder = stream.codec_context if codec is None else av.CodecContext.create(codec, "r")
        for packet in container.demux(stream):
            for frame in decoder.decode(packet if packet.size else None):
                plane = frame.planes[3]
                deep = frame.format.name.endswith("le")
                values = np.frombuffer(memoryview(plane), np.uint16 if deep else np.uint8).reshape(plane.height, -1)
                yield values[:, : plane.width] / (2 ** frame.format.components[3].bits - 1)


@pytest.mark.parametrize(
    ("form", "suffix", "decoder", "least"), [("webm", "webm", "libvpx-vp9", 0.99), ("prores", "mov", None, 1.0)]
)
def test_alpha_comes_back_through_video(
    form: str, suffix: str, decoder: str | None, least: float, film: Project, tmp_path: Path
) -> None:
    path = tmp_path / f"cut.{suffix}"
    film.export(form, path, objects=["cat", "dog: left"])
    np.testing.assert_allclose(sorted(seconds_of(path, "video")), source_seconds(film), atol=2e-3)
    found = list(alphas(path, decoder))
    assert len(found) == COUNT
    for alpha, labels in zip(found, film.labels[:], strict=True):
        assert alpha.shape == (BIG_HEIGHT, BIG_WIDTH + 1)  # padded to even
        ours, theirs = (labels == 1) | (labels == 2), alpha[:, :BIG_WIDTH] > 0.5
        assert (ours & theirs).sum() >= least * (ours | theirs).sum()


def test_rgba_pngs_hold_the_sources_colours_under_the_masks(
    project: Project, labels: LabelArray, frames: np.ndarray, tmp_path: Path
) -> None:
    project.export("rgba-png", tmp_path / "out", objects=["cat"])
    for t in range(FRAMES):
        with Image.open(tmp_path / "out" / f"{t:05d}.png") as image:
            assert image.mode == "RGBA"
            rgba = np.asarray(image)
        assert rgba.shape == (HEIGHT, WIDTH, 4)
        np.testing.assert_array_equal(rgba[:, :, 3], np.where(labels[t] == 1, 255, 0))
        np.testing.assert_array_equal(rgba[:, :, :3], frames[t] * (labels[t] == 1)[:, :, None])
