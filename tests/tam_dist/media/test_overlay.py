"""Overlays keep times and sound, show the colours, and never destroy anything; contact sheets and drawing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import av
import fsspec
import numpy as np
import pytest
from PIL import Image

from tam_dist.errors import StorageError, VideoError
from tam_dist.media.colours import colour_table, palette
from tam_dist.media.contact_sheet import contact_sheet, save_contact_sheet
from tam_dist.media.delivery import delivered
from tam_dist.media.drawing import Style, contours, draw_objects, name_tag, tint
from tam_dist.media.overlay import check_overlay, write_overlay
from tam_dist.media.reader import open_video
from tam_dist.types import TrackedObject

GetClip = Callable[[str], Path]
OBJECTS = (TrackedObject(1, "cat", (255, 0, 0)), TrackedObject(2, "dog", (0, 0, 255)))


def masks(height: int, width: int) -> Callable[[int], np.ndarray]:
    def labels(frame: int) -> np.ndarray:
        out = np.zeros((height, width), np.uint8)
        out[height // 2 :, : width // 4] = 1
        out[height // 2 :, -width // 4 :] = 2
        return out

    return labels


def sound_of(path: Path) -> tuple[str, float, float]:
    """Codec, first and last second of the sound."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        times = [float(p.pts * p.time_base) for p in container.demux(stream) if p.size]
        return stream.codec_context.name, times[0], times[-1]


SOUND = {"audio_longer.mp4": "aac", "delayed.mp4": "aac", "b_frames.ts": "aac", "pcm.mkv": "aac", "audio_longer.mkv": "aac"}


@pytest.mark.parametrize(
    "name", ["b_frames.mp4", "vfr.mp4", "vfr.mkv", "odd_444.mp4", "rotated.mp4", "b_frames.avi", "fragmented.mp4", *SOUND]
)
def test_an_overlay_has_the_frame_times_and_the_sound_of_its_source(clips: GetClip, tmp_path: Path, name: str) -> None:
    path = tmp_path / "overlay.mp4"
    with open_video(clips(name)) as source:
        info = source.info
        seen: list[int] = []
        done = write_overlay(source, masks(info.height, info.width), OBJECTS, path, style=Style(tint=0.8), on_frame=seen.append)
        assert done == path
        times = (source.pts - round(source.index.start / info.time_base)) * float(info.time_base)
    assert seen == list(range(info.frame_count))
    assert [p.name for p in tmp_path.iterdir()] == ["overlay.mp4"]
    with open_video(path) as overlay:
        assert overlay.info.frame_count == info.frame_count
        assert overlay.info.declared_frames is None
        assert overlay.info.width == info.width + info.width % 2
        assert overlay.info.height == info.height + info.height % 2
        assert overlay.index.pixel_format == "yuv420p"
        assert overlay.info.rotation == 0
        ours = overlay.pts * float(overlay.info.time_base)
        assert np.abs(ours - times).max() < 1e-4
        frame = overlay.read(40, 41)[0].astype(int)
        height, width = info.height, info.width
        left, right = (frame[height * 3 // 4, x] for x in (width // 8, width - width // 8))
        assert left[0] > left[2] + 60
        assert right[2] > right[0] + 60
        assert overlay.info.has_audio == (name in SOUND)
    if name in SOUND:
        codec, first, last = sound_of(path)
        _, source_first, source_last = sound_of(clips(name))
        start = float(source.index.start)
        assert codec == SOUND[name]
        assert first == pytest.approx(source_first - start, abs=0.1)
        assert last == pytest.approx(source_last - start, abs=0.1)


def test_the_index_of_an_overlay_comes_first_so_that_it_plays_while_it_loads(clips: GetClip, tmp_path: Path) -> None:
    with open_video(clips("plain.mp4")) as video:
        write_overlay(video, lambda frame: None, OBJECTS, tmp_path / "o.mp4", sound=False)
    data = (tmp_path / "o.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


def test_a_folder_of_images_becomes_a_film(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(6):
        Image.fromarray(np.full((48, 64, 3), 40 * number, np.uint8)).save(folder / f"{number:05d}.png")
    with open_video(folder) as video:
        write_overlay(video, masks(48, 64), OBJECTS, tmp_path / "new" / "film.mkv")
    with open_video(tmp_path / "new" / "film.mkv") as film:
        assert film.info.frame_count == 6
        assert film.info.fps == 24


def test_an_overlay_never_destroys_what_is_there(clips: GetClip, tmp_path: Path) -> None:
    copy = tmp_path / "source.mp4"
    copy.write_bytes(clips("plain.mp4").read_bytes())
    with open_video(copy) as video:
        with pytest.raises(VideoError, match="would overwrite its own source"):
            write_overlay(video, lambda frame: None, OBJECTS, copy, overwrite=True)
        there = tmp_path / "there.mp4"
        there.write_text("precious")
        with pytest.raises(VideoError, match=r"there\.mp4 exists already"):
            write_overlay(video, lambda frame: None, OBJECTS, there)
        with pytest.raises(VideoError, match=r"there\.mp4 exists already"):
            check_overlay(there, video.info.uri)
        check_overlay(tmp_path / "free.mp4", video.info.uri)
        with pytest.raises(VideoError, match=r"its name must end in \.mp4"):
            write_overlay(video, lambda frame: None, OBJECTS, tmp_path / "film.gif")

        def fails(frame: int) -> None:
            raise RuntimeError("masks gone")

        with pytest.raises(RuntimeError, match="masks gone"):
            write_overlay(video, fails, OBJECTS, there, overwrite=True)
        assert there.read_text() == "precious"
        assert sorted(p.name for p in tmp_path.iterdir()) == ["source.mp4", "there.mp4"]
        write_overlay(video, lambda frame: None, OBJECTS, there, overwrite=True)
    assert there.read_bytes()[4:8] == b"ftyp"


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_an_older_overlay_is_made_anew(tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(folder / "0.png")
    with open_video(folder) as video:
        path = write_overlay(video, lambda frame: None, OBJECTS, tmp_path / f"o{suffix}")
        first = path.stat().st_ino
        assert write_overlay(video, masks(48, 64), OBJECTS, path).stat().st_ino != first


def test_a_place_that_cannot_be_written_is_named(clips: GetClip, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with open_video(clips("plain.mp4")) as video, pytest.raises(StorageError, match=r"file/o\.mp4 cannot be written"):
        write_overlay(video, lambda frame: None, OBJECTS, tmp_path / "file" / "o.mp4")


def test_pictures_reach_a_project_in_an_object_store_whole_or_not_at_all(clips: GetClip, tmp_path: Path) -> None:
    with open_video(clips("plain.mp4")) as video, delivered("memory://projects/p/overlay.mp4") as path:
        write_overlay(video, lambda frame: None, OBJECTS, path)
    assert not path.exists()
    with open_video("memory://projects/p/overlay.mp4") as film:
        assert film.info.frame_count == 90
    with pytest.raises(ZeroDivisionError), delivered("memory://projects/p/other.mp4") as path:
        path.write_bytes(b"half" * (1 // 0))
    assert not fsspec.filesystem("memory").exists("/projects/p/other.mp4")
    with delivered(str(tmp_path / "here.png")) as path:
        assert path == tmp_path / "here.png"


# --- contact sheet -----------------------------------------------------------------------------------------------------


def test_a_contact_sheet_shows_frames_with_their_masks(clips: GetClip, tmp_path: Path) -> None:
    with open_video(clips("plain.mp4")) as video:
        sheet = contact_sheet(video, masks(96, 160), OBJECTS, rows=2, columns=3, cell_width=200)
        path = save_contact_sheet(video, masks(96, 160), OBJECTS, tmp_path / "sheet.png", rows=2, columns=3)
        few = contact_sheet(video, lambda frame: None, OBJECTS, frames=[5], cell_width=200)
    assert sheet.dtype == np.uint8
    assert sheet.shape[1] == 2 * 32 + 3 * 200 + 2 * 16
    assert few.shape[1] == 2 * 32 + 200
    x, y = 32 + 25, 32 + 84 + 90  # in the first cell's red object
    assert int(sheet[y, x, 0]) > int(sheet[y, x, 2]) + 60
    with Image.open(path) as image:
        assert image.format == "PNG"


@pytest.mark.parametrize("size", [(4000, 2), (2, 4000)])
def test_a_very_flat_video_has_a_contact_sheet_of_sensible_size(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, (0, 255, 0)).save(tmp_path / "0.png")
    with open_video(tmp_path) as video:
        sheet = contact_sheet(video, masks(size[1], size[0]), OBJECTS, cell_width=200)
    assert max(sheet.shape) < 1200
    assert (sheet[100:, :, 1].astype(int) - sheet[100:, :, 0] > 100).any()


# --- drawing -----------------------------------------------------------------------------------------------------------


def test_drawing_leaves_the_background_and_the_original_alone() -> None:
    frame = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    original = frame.copy()
    labels = np.zeros((60, 80), np.uint16)
    labels[20:40, 30:50] = 2
    drawn = draw_objects(frame, labels, OBJECTS, Style(names=False))
    assert np.array_equal(frame, original)
    assert np.array_equal(drawn[labels == 0], frame[labels == 0])
    assert tuple(drawn[20, 30]) == (0, 0, 255)  # the contour is the pure colour
    assert np.array_equal(draw_objects(frame, None, OBJECTS), frame)
    tinted = tint(frame, labels, colour_table(OBJECTS), 0.5)
    assert np.abs(tinted[30, 40].astype(float) - (frame[30, 40] + np.array([0, 0, 255.0])) / 2).max() <= 1


def test_contours_lie_inside_their_object_and_between_objects() -> None:
    labels = np.zeros((10, 12), np.uint8)
    labels[2:8, 2:6], labels[2:8, 6:10] = 1, 2
    edge = contours(labels, 1)
    assert not edge[labels == 0].any()
    assert edge[4, 5]
    assert edge[4, 6]
    assert not edge[4, 3:5].any()
    assert not contours(np.ones((5, 5), np.uint8)).any()


def test_names_are_drawn_inside_the_picture_even_at_its_corner() -> None:
    labels = np.zeros((60, 80), np.uint8)
    labels[:10, -10:] = 1
    frame = np.zeros((60, 80, 3), np.uint8)
    drawn = draw_objects(frame, labels, [TrackedObject(1, "a very long name indeed", (255, 255, 0))])
    assert drawn[:, :40].any()
    assert name_tag("cat", (255, 0, 0), 14).shape[2] == 4


def test_the_palette_is_that_of_voc() -> None:
    colours = palette(256)
    assert colours[5].tolist() == [128, 0, 128]
    assert colours[15].tolist() == [192, 128, 128]
    assert colours[255].tolist() == [224, 224, 192]
    assert len(np.unique(colours, axis=0)) == 256


def test_media_needs_neither_torch_nor_ray() -> None:
    import subprocess

    code = (
        "import sys, tam_dist.media.overlay, tam_dist.media.contact_sheet; print({'torch', 'ray', 'zarr'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
