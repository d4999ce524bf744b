"""VOT and VOTS: a text file for each object with a mask a line."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from tam_dist.export.footage import Footage
from tam_dist.export.png import folder_name, write_jpeg
from tam_dist.export.rle import LabelRuns, row_counts


def write_vot(footage: Footage, folder: Path) -> None:
    """``groundtruth_<id>-<object>.txt``, ``groundtruth.txt`` where there is one object: ``m`` and the box's corner and size,
    then the runs of pixels row by row inside it, the first of zeros; ``m0,0,0,0,0`` where it is not seen. ``sequence`` says
    where the images are; with images, ``color/00000001.jpg`` from 1.
    """
    images = folder / "color"
    (folder / "sequence").write_text(
        f"channels.color=color/%08d.jpg\nformat=default\nfps={float(footage.video.fps):g}\nname={footage.name}\n"
        f"width={footage.video.width}\nheight={footage.video.height}\nlength={len(footage)}\n",
        encoding="utf-8",
    )
    if footage.request.images:
        images.mkdir()
    alone = len(footage.objects) == 1
    with ExitStack() as stack:
        names = {o.id: "groundtruth.txt" if alone else f"groundtruth_{folder_name(o)}.txt" for o in footage.objects}
        files = {id_: stack.enter_context((folder / name).open("w", encoding="utf-8")) for id_, name in names.items()}
        for place, (frame, picture) in enumerate(footage.with_images(), 1):
            if picture is not None:
                write_jpeg(images / f"{place:08d}.jpg", picture)
            runs = LabelRuns.of(frame.labels)
            for id_, file in files.items():
                box = runs.box(id_)
                if box is None:
                    file.write("m0,0,0,0,0\n")
                    continue
                x, y, width, height = box
                counts = row_counts(frame.labels[y : y + height, x : x + width] == id_)
                file.write("m" + ",".join(map(str, (*box, *counts))) + "\n")
