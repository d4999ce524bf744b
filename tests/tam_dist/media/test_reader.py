"""Every kind of file: frames are counted, and read in order and at random, exactly; what is no video says so plainly."""

from __future__ import annotations

import importlib.util
import random
import re
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import av
import fsspec
import numpy as np
import pytest
from PIL import Image

from tam_dist.errors import VideoError
from tam_dist.media.chunks import read_chunk
from tam_dist.media.container import VideoContainer
from tam_dist.media.decord_reader import DecordReader, why_not_exact
from tam_dist.media.index import VideoIndex
from tam_dist.media.indexing import build_index
from tam_dist.media.reader import VideoReader, open_video, probe
from tam_dist.media.source import resolve
from tam_dist.types import chunk_count

GetClip = Callable[[str], Path]


def _helpers() -> ModuleType:
    """The clip maker of this folder's conftest, which cannot be imported by name (tests are no package)."""
    spec = importlib.util.spec_from_file_location("media_clips", Path(__file__).with_name("conftest.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["media_clips"] = module
    spec.loader.exec_module(module)
    return module


maker = _helpers()
NAMES = [clip.name for clip in maker.CLIPS]
FRAME_COUNTS = {clip.name: clip.frames for clip in maker.CLIPS}


def check_exact(video: VideoReader, expected: list[int], seed: int = 0) -> None:
    """``video`` shows the numbers ``expected``: read chunk by chunk, then at 8 random places, backwards jumps included."""
    total = len(expected)
    assert video.info.frame_count == total
    assert len(video.pts) == total
    assert np.all(np.diff(video.pts) > 0)
    got: list[int] = []
    for index in range(chunk_count(total, 16)):
        got += maker.numbers(read_chunk(video, index, 16).frames)
    assert got == expected
    places = random.Random(seed)
    for length in (1, 1, 1, 1, 8, 8, 8, 16):
        start = places.randrange(max(1, total - length))
        assert maker.numbers(video.read(start, start + length)) == expected[start : start + length], start


@pytest.mark.parametrize("name", NAMES)
def test_every_kind_of_file_is_read_exactly_by_the_checked_reader(clips: GetClip, name: str) -> None:
    with open_video(clips(name), reader="pyav") as video:
        assert video.info.declared_frames is None
        assert video.info.reader == "pyav"
        check_exact(video, list(range(FRAME_COUNTS[name])))


@pytest.mark.parametrize(
    "name", ["plain.mp4", "b_frames.mp4", "gop_10.mp4", "b_frames.mkv", "vfr.mp4", "delayed.mp4", "vp9.webm"]
)
def test_decord_is_taken_where_it_is_exact_and_gives_the_same_pixels(clips: GetClip, name: str) -> None:
    pytest.importorskip("decord")
    with open_video(clips(name)) as video, open_video(clips(name), reader="pyav") as exact:
        assert video.info.reader == "decord"
        check_exact(video, list(range(FRAME_COUNTS[name])))
        assert np.array_equal(video.read(30, 40), exact.read(30, 40))


INEXACT = [
    "open_gop.mp4",
    "intra_refresh.mp4",
    "vp9_odd.webm",
    "ten_bit.mp4",
    "interlaced.mp4",
    "hevc.mp4",
    "b_frames.avi",
    "b_frames.ts",
    "av1.mp4",
    "ffv1.mkv",
    "rotated.mp4",
]


@pytest.mark.parametrize("name", INEXACT)
def test_decord_is_refused_where_it_is_not_exact(clips: GetClip, name: str) -> None:
    with open_video(clips(name)) as video:
        assert video.info.reader == "pyav"
    with pytest.raises(VideoError, match=r"decord cannot read .* exactly, because .*media.reader=auto"):
        open_video(clips(name), reader="decord")


def test_auto_leaves_videos_with_rare_keyframes_to_pyav(tmp_path: Path) -> None:
    path = maker.encode(tmp_path / "long.mp4", maker.Clip("long.mp4", options=maker.B3 | {"g": "250"}))
    with open_video(path) as video:
        assert video.index.longest_gop == maker.FRAMES
        assert video.info.reader == "pyav"


def test_an_edit_list_hides_frames_and_the_rest_keep_their_numbers(clips: GetClip, tmp_path: Path) -> None:
    path = maker.remux(clips("b_frames.mp4"), tmp_path / "cut.mp4", first=31)
    with open_video(path) as video:
        assert video.index.edit_list
        assert video.info.reader == "pyav"
        check_exact(video, list(range(31, maker.FRAMES)))
    source = resolve(path)
    assert why_not_exact(source, build_index(source)) == "it has an edit list"


def test_a_transport_stream_that_starts_between_keyframes_begins_at_the_first_one(clips: GetClip, tmp_path: Path) -> None:
    path = tmp_path / "middle.ts"
    path.write_bytes(clips("b_frames.ts").read_bytes()[188 * 40 :])
    with open_video(path) as video:
        check_exact(video, list(range(24, maker.FRAMES)))


@pytest.mark.parametrize("name", ["faststart.mp4", "b_frames.mkv", "vp9.webm", "b_frames.avi"])
@pytest.mark.parametrize(("packet", "share"), [(36, 0.5), (54, 0.0), (55, 0.7), (73, 0.0), (74, 0.5)])
def test_a_file_that_was_cut_off_gives_what_can_be_decoded_and_tells_the_claim(
    clips: GetClip, tmp_path: Path, name: str, packet: int, share: float
) -> None:
    path = maker.cut_in_packet(clips(name), tmp_path / name, packet, share)
    there = {p.shown for p in maker.stored_packets(clips(name))[:packet]}
    whole = next(number for number in range(maker.FRAMES) if number not in there)
    with open_video(path) as video:
        info = video.info
        assert info.declared_frames == maker.FRAMES
        frames = video.read(0, info.frame_count)
        shown = maker.numbers(frames)
        if name == "b_frames.avi":  # which does not say in what order its packets are shown: a gap among the last is not seen
            assert whole - 4 <= info.frame_count <= whole
            assert shown[:-3] == list(range(info.frame_count - 3))
        else:
            assert info.frame_count == whole
            assert shown == list(range(info.frame_count))
        last = info.frame_count - 1
        assert np.array_equal(video.read(last, last + 1)[0], frames[last])


@pytest.mark.parametrize("name", ["mpeg2.ts", "b_frames.ts"])
def test_a_cut_off_transport_stream_ends_with_a_whole_frame_and_says_so(clips: GetClip, tmp_path: Path, name: str) -> None:
    with open_video(maker.cut_in_packet(clips(name), tmp_path / "cut.ts", 54, 0.5)) as video:
        shown = maker.numbers(video.read(0, video.info.frame_count))
        assert shown == list(range(len(shown)))
        assert 48 <= len(shown) <= 54
        assert "was probably cut off" in video.info.note
    assert probe(clips(name)).note == ""


def test_rotation_is_applied(clips: GetClip) -> None:
    with open_video(clips("rotated.mp4")) as video, open_video(clips("b_frames.mp4"), reader="pyav") as upright:
        info = video.info
        assert (info.width, info.height) == (maker.HEIGHT, maker.WIDTH)
        assert info.rotation == 270  # the matrix turns counterclockwise
        turned = video.read(20, 24)
        assert turned.shape == (4, maker.WIDTH, maker.HEIGHT, 3)
        assert np.array_equal(np.rot90(upright.read(20, 24), 1, axes=(1, 2)), turned)


def _patch_matrix(path: Path, target: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Write the display matrix ((a, b), (c, d)) into the track header of an MP4."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version, times, id, duration, reserved, layer, group, volume
    a, b, c, d = (v * 65536 for v in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    target.write_bytes(data)
    return target


@pytest.mark.parametrize(
    ("matrix", "turn"),
    [
        ((0, 1, -1, 0), lambda f: np.rot90(f, -1)),
        ((-1, 0, 0, -1), lambda f: np.rot90(f, 2)),
        ((-1, 0, 0, 1), lambda f: f[:, ::-1]),
        ((1, 0, 0, -1), lambda f: f[::-1]),
    ],
)
def test_phones_and_mirrored_videos_are_turned_upright(
    clips: GetClip, tmp_path: Path, matrix: tuple[int, int, int, int], turn: Callable[[np.ndarray], np.ndarray]
) -> None:
    path = _patch_matrix(clips("b_frames.mp4"), tmp_path / "turned.mp4", matrix)
    with open_video(path) as video, open_video(clips("b_frames.mp4"), reader="pyav") as upright:
        assert np.array_equal(video.read(5, 6)[0], turn(upright.read(5, 6)[0]))


def test_information_is_that_of_the_source(clips: GetClip) -> None:
    info = probe(clips("delayed.mp4"))
    assert (info.frame_count, info.width, info.height) == (maker.FRAMES, maker.WIDTH, maker.HEIGHT)
    assert info.fps == maker.RATE
    assert info.has_audio
    with open_video(clips("delayed.mp4")) as video:
        assert video.pts[0] * info.time_base == pytest.approx(12 / maker.RATE)
    variable = probe(clips("vfr.mkv"))
    assert float(variable.fps) == pytest.approx(16.5, abs=0.1)  # the mean, not the encoder's nominal rate


def test_an_index_is_built_once_and_serves_other_processes(clips: GetClip, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clips("hevc_open.mkv")
    with open_video(path) as video:
        arrays = video.index.to_arrays()
    assert all(isinstance(value, np.ndarray) for value in arrays.values())
    index = VideoIndex.from_arrays(arrays)
    monkeypatch.setattr("tam_dist.media.reader.build_index", lambda source: pytest.fail("indexed again"))
    with open_video(path, index=index) as video:
        check_exact(video, list(range(maker.FRAMES)))
        assert video.index.fps == Fraction(maker.RATE)


def test_a_changed_file_is_not_read_with_its_old_index(clips: GetClip) -> None:
    index = build_index(resolve(clips("plain.mp4")))
    with pytest.raises(VideoError, match="has changed since it was indexed"):
        open_video(clips("b_frames.mp4"), index=index)


def test_a_wrong_index_is_never_believed(clips: GetClip) -> None:
    """Were the times off by one tick, no frame would be handed out under a wrong number."""
    source = resolve(clips("b_frames.mp4"))
    index = build_index(source)
    arrays = index.to_arrays()
    arrays["pts"] = arrays["pts"] + 1
    with open_video(source.uri, reader="pyav", index=VideoIndex.from_arrays(arrays)) as video, pytest.raises(VideoError):
        video.read(10, 12)


def test_a_url_is_read_like_a_file(clips: GetClip) -> None:
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/films/clip.mkv", clips("b_frames.mkv").read_bytes())
    with open_video("memory://films/clip.mkv") as video:
        assert video.info.reader == "pyav"
        check_exact(video, list(range(maker.FRAMES)))


# A keyframe in mid-film, and a frame between keyframes that others look back to, in files that the demuxer finds its way
# through, and in one where it goes on only with the next cluster.
DAMAGED = ["plain.mp4", "b_frames.mp4", "b_frames.avi", "b_frames.ts", "mpeg2.ts", "mpeg4.avi", "b_frames.mkv", "vp9.webm"]


@pytest.mark.parametrize("packet", [48, 50, 12])
@pytest.mark.parametrize("name", DAMAGED)
def test_damage_in_the_middle_shifts_no_frame(clips: GetClip, tmp_path: Path, name: str, packet: int) -> None:
    path = maker.damaged(clips(name), tmp_path / name, [packet])
    with open_video(path, on_damage="skip") as video:
        assert video.info.frame_count == maker.FRAMES
        assert video.info.declared_frames is None
        frames = video.read(0, maker.FRAMES)
        lost = video.filler.damaged if video.filler is not None else frozenset()
        assert maker.numbers(frames[72:]) == list(range(72, 90))
        assert maker.numbers(frames[: packet - 4]) == list(range(packet - 4))
        assert all(packet - 4 <= number < 72 for number in lost)
        assert not frames[sorted(lost)].any()
        assert np.array_equal(video.read(80, 81)[0], frames[80])


@pytest.mark.parametrize("name", ["plain.mp4", "vp9.webm"])
def test_a_damaged_keyframe_is_named_held_or_skipped_as_asked(clips: GetClip, tmp_path: Path, name: str) -> None:
    path = maker.damaged(clips(name), tmp_path / name, [48])
    for reader in ("pyav", "auto"):
        with open_video(path, reader=reader, on_damage="stop") as video:
            assert maker.numbers(video.read(0, 48)) == list(range(48))
            with pytest.raises(VideoError, match=re.escape(f"Frame 48 of {path} is damaged")):
                video.read(40, 56)
            assert maker.numbers(video.read(72, 90)) == list(range(72, 90))
        with open_video(path, reader=reader) as video:  # what holds the frame's place does not depend on what was read before
            middle = video.read(50, 64)
            assert maker.numbers(middle[:4]) == [47] * 4
            whole = video.read(0, 90)
            assert maker.numbers(whole[:52]) == [*range(48), *[47] * 4]
            assert np.array_equal(whole[50:64], middle)
            assert read_chunk(video, 3, 16).skipped == frozenset()
        with open_video(path, reader=reader, on_damage="skip") as video:
            chunk = read_chunk(video, 3, 16)
            assert {48, 49, 50, 51} <= chunk.skipped <= frozenset(range(48, 64))
            assert not chunk.frames[sorted(number - 48 for number in chunk.skipped)].any()
            assert maker.numbers(read_chunk(video, 4, 16).frames[8:]) == list(range(72, 80))


def test_a_gap_in_the_file_is_noted(clips: GetClip, tmp_path: Path) -> None:
    with open_video(maker.damaged(clips("b_frames.mkv"), tmp_path / "gap.mkv", [48])) as video:
        assert "24 of its frames are missing" in video.info.note
        assert maker.numbers(video.read(46, 74)) == [46, *[47] * 25, 72, 73]
    assert probe(clips("b_frames.mkv")).note == ""


def test_frames_that_were_never_there_are_no_damage(clips: GetClip) -> None:
    """A recording of uneven pace has gaps, and all its frames."""
    for name in ("vfr.mkv", "vfr.mp4"):
        assert probe(clips(name)).note == ""


def test_reading_beyond_the_end_is_refused(clips: GetClip) -> None:
    with open_video(clips("plain.mp4")) as video:
        assert video.read(7, 7).shape == (0, maker.HEIGHT, maker.WIDTH, 3)
        with pytest.raises(VideoError, match="has frames 0 to 90"):
            video.read(80, 91)
        with pytest.raises(VideoError, match="Chunk 6"):
            read_chunk(video, 6, 16)
        assert read_chunk(video, 5, 16).stop == 90


# --- what is no video --------------------------------------------------------------------------------------------------


def _sound(path: Path) -> None:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate = 16000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def _without_pictures(source: Path, target: Path) -> None:
    data = source.read_bytes()
    target.write_bytes(data[: data.index(b"mdat") + 12])


REFUSED: list[tuple[str, Callable[[Path, GetClip], object], str]] = [
    ("missing.mp4", lambda path, clips: None, "There is no video at"),
    ("empty.mp4", lambda path, clips: path.write_bytes(b""), "is empty"),
    ("letter.mp4", lambda path, clips: path.write_text("Dear reader,\n" * 500), "is not a video"),
    ("letter.txt", lambda path, clips: path.write_text("Dear reader,\n" * 500), "is a text file, not a video"),
    ("noise.mp4", lambda path, clips: path.write_bytes(random.Random(1).randbytes(40_000)), "is not a video"),
    ("music.m4a", lambda path, clips: _sound(path), "has sound but no picture"),
    ("unfinished.mp4", lambda path, clips: maker.truncated(clips("b_frames.mp4"), path, 0.7), r"has no index \(moov\)"),
    ("start.mp4", lambda path, clips: _without_pictures(clips("faststart.mp4"), path), "No frame of"),
    ("folder", lambda path, clips: path.mkdir(), "holds no images"),
]


@pytest.mark.parametrize(("name", "make", "message"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_is_no_video_says_so_in_one_sentence(
    clips: GetClip, tmp_path: Path, name: str, make: Callable[[Path, GetClip], object], message: str
) -> None:
    path = tmp_path / name
    make(path, clips)
    with pytest.raises(VideoError, match=message) as caught:
        open_video(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_addresses_and_readers_are_named() -> None:
    with pytest.raises(VideoError, match="nowhere://film"):
        open_video("nowhere://film.mp4")
    with pytest.raises(VideoError, match="no video reader 'opencv'"):
        open_video("film.mp4", reader="opencv")


def test_sound_with_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "music.mp3"
    with av.open(str(path), "w") as out:
        audio = out.add_stream("libmp3lame", rate=16000, layout="mono")
        cover = out.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        out.mux(cover.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        out.mux(cover.encode(None))
        for start in range(0, 16000, 1152):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.float32), format="fltp", layout="mono")
            frame.rate, frame.pts = 16000, start
            out.mux(audio.encode(frame))
        out.mux(audio.encode(None))
    with pytest.raises(VideoError, match="has sound but no picture"):
        open_video(path)


# --- a folder of images ------------------------------------------------------------------------------------------------


def _images(folder: Path, names: list[str], size: tuple[int, int] = (maker.WIDTH, maker.HEIGHT)) -> Path:
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        Image.fromarray(maker.picture(number, *size)).save(folder / name)
    return folder


def test_a_folder_of_images_is_a_video(tmp_path: Path) -> None:
    folder = _images(tmp_path / "frames", [f"{i:05d}.png" for i in range(20)])
    (folder / "notes.txt").write_text("not a frame")
    with open_video(folder) as video:
        check_exact(video, list(range(20)))
        assert video.info.reader == "images"
        assert video.info.fps == 24
        assert np.array_equal(video.read(7, 8)[0], maker.picture(7))
        index = VideoIndex.from_arrays(video.index.to_arrays())
    (folder / "00007.png").unlink()
    with pytest.raises(VideoError, match="holds 19 images"):
        open_video(folder, index=index)


def test_numbers_in_image_names_count_as_numbers(tmp_path: Path) -> None:
    folder = _images(tmp_path / "frames", [f"frame{i}.png" for i in range(12)])
    with open_video(folder) as video:
        assert maker.numbers(video.read(0, 12)) == list(range(12))


def test_an_image_of_another_size_or_damaged_is_named(tmp_path: Path) -> None:
    folder = _images(tmp_path / "frames", ["0.png", "1.png", "2.png"])
    Image.fromarray(maker.picture(1, 200, 100)).save(folder / "1.png")
    (folder / "2.png").write_bytes(b"no image")
    with open_video(folder, on_damage="stop") as video:
        assert len(video.read(0, 1)) == 1
        with pytest.raises(VideoError, match=r"1\.png .* is 200x100, the first one is 160x96"):
            video.read(1, 2)
        with pytest.raises(VideoError, match=r"2\.png .* is damaged or not an image"):
            video.read(2, 3)
    Image.fromarray(maker.picture(1)).save(folder / "1.png")
    with open_video(folder) as video:
        assert maker.numbers(video.read(0, 3)) == [0, 1, 1]


def test_gaps_in_the_numbering_of_images_are_noted(tmp_path: Path) -> None:
    names = [f"{i:05d}.png" for i in (0, 1, 2, 5, 6)]
    assert "The images 3 to 4 are missing" in probe(_images(tmp_path / "gap", names)).note
    assert probe(_images(tmp_path / "every fifth", [f"{i:05d}.png" for i in range(0, 30, 5)])).note == ""


def test_an_animated_picture_says_what_it_is(tmp_path: Path) -> None:
    frames = [Image.fromarray(maker.picture(i)) for i in range(3)]
    for path in (tmp_path / "a.webp", tmp_path / "folder" / "a.webp"):
        path.parent.mkdir(exist_ok=True)
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=40)
    with pytest.raises(VideoError, match="is an animated WebP"):
        open_video(tmp_path / "a.webp")
    with pytest.raises(VideoError, match="is an animation"):
        open_video(tmp_path / "folder")


# --- decord's guard ----------------------------------------------------------------------------------------------------


def test_without_decord_everything_is_read_by_pyav(clips: GetClip, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *a: None if name == "decord" else find(name, *a))
    with open_video(clips("plain.mp4")) as video:
        assert video.info.reader == "pyav"


def test_decord_that_counts_otherwise_is_not_used(clips: GetClip) -> None:
    pytest.importorskip("decord")
    source = resolve(clips("plain.mp4"))
    arrays = build_index(source).to_arrays()
    arrays["pts"] = arrays["pts"][:-1]
    with pytest.raises(VideoError, match="it sees 90 frames where there are 89"):
        DecordReader(source, VideoIndex.from_arrays(arrays))


def test_the_container_closes_its_file_object(clips: GetClip) -> None:
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/films/plain.mp4", clips("plain.mp4").read_bytes())
    with VideoContainer(resolve("memory://films/plain.mp4")) as video:
        assert next(video.frames()).width == maker.WIDTH
    assert video._file is None
