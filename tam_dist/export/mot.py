"""The text formats of the MOT challenges: masks (MOTS, of KITTI and MOTChallenge) and boxes."""

from __future__ import annotations

from pathlib import Path

from tam_dist.export.footage import Footage
from tam_dist.export.rle import LabelRuns, categories, category


def write_mots(footage: Footage, file: Path) -> None:
    """A line a mask, ``frame id class height width rle``, frames from 1 as MOTSChallenge has them; the id is 1000 times the
    class plus the object's.
    """
    _write_mots(footage, file, first_frame=1)


def write_kitti_mots(footage: Footage, file: Path) -> None:
    """:func:`write_mots` with frames from 0, as KITTI has them."""
    _write_mots(footage, file, first_frame=0)


def write_mot(footage: Footage, folder: Path) -> None:
    """``gt/gt.txt`` with a line a box, ``frame,id,left,top,width,height,1,class,1``, all from 1 (the corner pixel is 1,1), the
    class a line of ``gt/labels.txt``; and ``seqinfo.ini``, without which evaluations do not know how long the video is.
    """
    names = list(dict.fromkeys(category(item.name) for item in footage.objects))
    classes = {item.id: names.index(category(item.name)) + 1 for item in footage.objects}
    truth = folder / "gt"
    truth.mkdir()
    (truth / "labels.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    video = footage.video
    (folder / "seqinfo.ini").write_text(
        f"[Sequence]\nname={footage.name}\nimDir=img1\nframeRate={float(video.fps):g}\nseqLength={video.frame_count}\n"
        f"imWidth={video.width}\nimHeight={video.height}\nimExt=.jpg\n",
        encoding="utf-8",
    )
    with (truth / "gt.txt").open("w", encoding="utf-8") as out:
        for frame in footage:
            runs = LabelRuns.of(frame.labels)
            for item in footage.objects:
                box = runs.box(item.id)
                if box is not None:
                    x, y, width, height = box
                    values = (frame.number + 1, item.id, x + 1, y + 1, width, height, 1, classes[item.id], 1)
                    out.write(",".join(map(str, values)) + "\n")


def _write_mots(footage: Footage, file: Path, *, first_frame: int) -> None:
    numbers = categories(footage.objects)
    height, width = footage.video.height, footage.video.width
    with file.open("w", encoding="utf-8") as out:
        for frame in footage:
            runs = LabelRuns.of(frame.labels)
            for item in footage.objects:
                if runs.area(item.id):
                    kind = numbers[category(item.name)]
                    rle = runs.coco(item.id)["counts"]
                    number = frame.number + first_frame
                    out.write(f"{number} {kind * 1000 + item.id} {kind} {height} {width} {rle}\n")
