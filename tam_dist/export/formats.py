"""The formats there are: what each can hold, and the function that writes it."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import cast

from tam_dist.errors import ExportError
from tam_dist.export.footage import Footage

Writer = Callable[[Footage, Path], None]
"""Writes a footage to a path: an empty folder where the format is one, else a file that is not there yet."""


@dataclass(frozen=True)
class Format:
    """``writer`` is "module:function" in this package; ``suffix`` is a file's, "" for a folder of files.

    ``max_id`` is the largest object id the format holds, None where any fits. ``lossless``: every mask reads back as it was.
    ``pictures``: the source video is read too. ``images``: has a place for the source's frames. ``extra``: of tam-dist, that
    brings the library it needs.
    """

    name: str
    title: str
    writer: str
    suffix: str = ""
    max_id: int | None = None
    lossless: bool = True
    pictures: bool = False
    images: bool = False
    extra: str | None = None

    @property
    def is_folder(self) -> bool:
        return not self.suffix

    def load(self) -> Writer:
        """Raises :class:`ExportError` where a library is not installed."""
        module, _, function = self.writer.partition(":")
        try:
            return cast(Writer, getattr(import_module(f"tam_dist.export.{module}"), function))
        except ModuleNotFoundError as error:
            if self.extra is None:
                raise
            raise ExportError(
                f"The format {self.name} needs the package {error.name}, which is not installed: pip install "
                f"'tam-dist[{self.extra}]'."
            ) from error


FORMATS: dict[str, Format] = {
    form.name: form
    for form in (
        Format("davis", "DAVIS: indexed PNGs, a value an object", "png:write_davis", max_id=254, images=True),
        Format("youtube-vos", "YouTube-VOS: indexed PNGs and meta.json", "png:write_youtube_vos", max_id=254, images=True),
        Format("binary-png", "black-and-white PNGs, a folder an object", "png:write_binary"),
        Format("coco", "COCO: annotations.json with RLE masks and track ids", "coco:write_coco", images=True),
        Format("ytvis", "YouTube-VIS: instances.json, an entry a track", "coco:write_ytvis", images=True),
        Format("mots", "MOTSChallenge: a line a mask, frames from 1", "mot:write_mots", ".txt", max_id=999),
        Format("kitti-mots", "KITTI MOTS: a line a mask, frames from 0", "mot:write_kitti_mots", ".txt", max_id=999),
        Format("mots-png", "KITTI MOTS: 16-bit PNGs", "png:write_mots_png", max_id=999),
        Format("mot", "MOTChallenge: gt.txt, a line a box", "mot:write_mot", lossless=False),
        Format("cvat", "CVAT for video 1.1: masks", "cvat:write_cvat", ".xml"),
        Format("cvat-images", "CVAT for images 1.1: masks", "cvat:write_cvat_images", ".xml"),
        Format("cvat-boxes", "CVAT for video 1.1: tracks of boxes", "cvat:write_cvat_boxes", ".xml", lossless=False),
        Format("label-studio", "Label Studio: brush masks, a task a frame", "label_studio:write_label_studio", images=True),
        Format(
            "label-studio-boxes",
            "Label Studio: a VideoRectangle an object",
            "label_studio:write_label_studio_boxes",
            lossless=False,
            pictures=True,
        ),
        Format("sa-v", "SA-V: masklets in JSON", "sav:write_sav", ".json"),
        Format("vot", "VOT: a mask a line, a file an object", "vot:write_vot", images=True),
        Format("labelme", "LabelMe: polygons, a JSON a frame", "labelme:write_labelme", lossless=False, images=True),
        Format("cryptomatte", "Cryptomatte: OpenEXR files", "cryptomatte:write_cryptomatte", extra="exr"),
        Format("overlay", "H.264 with the masks drawn in, and sound", "videos:write_overlay_video", ".mp4", None, False, True),
        Format("rgba-png", "the objects cut out, RGBA PNGs", "videos:write_rgba", pictures=True),
        Format("webm", "the objects cut out, VP9 with alpha", "videos:write_webm", ".webm", None, False, True),
        Format("prores", "the objects cut out, ProRes 4444 with alpha", "videos:write_prores", ".mov", None, False, True),
        Format("numpy", "NumPy: labels.npy, to be memory-mapped", "arrays:write_numpy"),
    )
}

#: What people look for under another name, or what a project cannot give.
_ALIASES = {"png": "davis", "ytvos": "youtube-vos", "mask-png": "binary-png", "npy": "numpy", "mp4": "overlay", "vp9": "webm"}
_SOFT = ("soft", "soft-png", "soft-masks", "matte", "probabilities")


def find_format(name: str) -> Format:
    """Raises :class:`ExportError` that names the nearest one, or says why there is none."""
    if name in FORMATS:
        return FORMATS[name]
    if name in _SOFT:
        raise ExportError(
            "Soft masks cannot be exported, as projects keep which object each pixel belongs to and not how likely that is: "
            "choose binary-png."
        )
    near = _ALIASES.get(name) or next(iter(difflib.get_close_matches(name, FORMATS, n=1, cutoff=0.5)), None)
    hint = f"did you mean {near}?" if near in FORMATS else f"there are {', '.join(FORMATS)}."
    raise ExportError(f"There is no export format {name!r}; {hint}")


def check_fits(form: Format, footage: Footage) -> None:
    """Raises :class:`ExportError` where the objects' ids do not fit the format, naming formats that hold them."""
    too_big = [o for o in footage.objects if form.max_id is not None and o.id > form.max_id]
    if too_big:
        most = too_big[-1].id
        holding = [f.name for f in FORMATS.values() if f.max_id is None or f.max_id >= most]
        raise ExportError(
            f"The format {form.name} holds ids up to {form.max_id}, but {too_big[0].name!r} has id {too_big[0].id}: choose "
            f"objects with --objects, or one of {', '.join(holding)}."
        )
