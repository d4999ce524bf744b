"""The public data that the embedded models learn from: where it lies, on what terms, and how it is read.

Paths are those of the repositories' newest commits. Terms are what the copy itself states; they go into the cache beside
the pictures and from there into the model card.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import PurePosixPath
from typing import Literal

from tam_dist.training.packed import PictureGroup, TrainingDataError
from tam_dist.training.readers import (
    coco_stills,
    compacted,
    foreground_sequences,
    mask_sequences,
    mask_stills,
    via_stills,
    yolo_stills,
)
from tam_dist.training.trees import FileTree

EVALUATION_SEQUENCES = frozenset(
    [
        "blackswan",
        "bmx-trees",
        "breakdance",
        "camel",
        "car-roundabout",
        "car-shadow",
        "cows",
        "dance-twirl",
        "dog",
        "drift-chicane",
        "drift-straight",
        "goat",
        "horsejump-high",
        "kite-surf",
        "libby",
        "motocross-jump",
        "paragliding-launch",
        "parkour",
        "scooter-black",
        "soapbox",
        "dogs-jump",
    ]
)
"""DAVIS-2016's validation sequences, and the clips that multi-object tracking is measured on: never trained on."""


@dataclass(frozen=True)
class Source:
    """``place``: a repository (owner/name) or, with a leading ``./``, a folder of the data directory."""

    name: str
    place: str
    kind: Literal["stills", "videos"]
    terms: str
    read: Callable[[FileTree], Iterator[PictureGroup]]


def refuse_evaluation_data(groups: Iterator[PictureGroup]) -> Iterator[PictureGroup]:
    """Pass ``groups`` on; raises :class:`TrainingDataError` at one named like an evaluation sequence."""
    for group in groups:
        used = EVALUATION_SEQUENCES.intersection(PurePosixPath(group.name).parts)
        if used:
            raise TrainingDataError(f"{group.name} is an evaluation sequence and must not be trained on.")
        yield group


# --- how the less regular ones are laid out ----------------------------------------------------------------------------


def _local_stills(tree: FileTree) -> Iterator[PictureGroup]:
    """``images/X.jpg`` with ``masks/X.png``; CCP's people and ECSSD's salient things are all that is known of kinds."""
    rows = csv.DictReader(io.StringIO(tree.read("sources.csv").decode()))
    people = {f"images/{row['name']}.jpg": "person" for row in rows if row["source"].upper().startswith("CCP")}
    masks = [name for name in tree.names() if name.startswith("masks/") and name.endswith(".png")]
    return mask_stills(tree, [(f"images/{PurePosixPath(mask).stem}.jpg", mask) for mask in masks], people)


def _davis(tree: FileTree) -> Iterator[PictureGroup]:
    names = [PurePosixPath(name) for name in tree.names() if name.startswith("Annotations/") and name.endswith(".png")]
    found: dict[str, list[tuple[str, str]]] = {}
    for path in names:
        image = str(path.with_suffix(".jpg")).replace("Annotations/", "JPEGImages/", 1)
        found.setdefault(path.parent.name, []).append((image, str(path)))
    return mask_sequences(tree, found)


def _bms26(tree: FileTree) -> Iterator[PictureGroup]:
    """Labelled frames alone, ten to fifty apart; the grey levels of the maps are the objects, the same all along."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name in tree.names():
        path = PurePosixPath(name)
        if name.startswith("moseg_dataset/") and path.suffix == ".pgm":
            found.setdefault(path.parent.name, []).append((str(path.with_suffix(".jpg")), name))
    levels = {level: level for level in range(1, 255)} | {255: 254}  # 255 is an object here
    return compacted(mask_sequences(tree, found, levels))


def _paired(
    tree: FileTree, images: str, masks: str, piece: int, every: int, skip: Sequence[str]
) -> dict[str, list[tuple[str, str]]]:
    """Pictures and maps of folders ``…/images`` and ``…/masks`` by the number at the end of their names, cut into pieces."""
    numbered: dict[str, dict[str, dict[int, str]]] = {}
    for name in tree.names():
        path = PurePosixPath(name)
        digits = path.stem[len(path.stem.rstrip("0123456789")) :]
        if digits and path.suffix in (".png", ".jpg", ".bmp") and path.parent.name in (images, masks):
            numbered.setdefault(str(path.parent.parent), {}).setdefault(path.parent.name, {})[int(digits)] = name
    found = {}
    for folder, both in numbered.items():
        if any(word in folder for word in skip) or set(both) != {images, masks}:
            continue
        common = sorted(set(both[images]) & set(both[masks]))[::every]
        for start in range(0, len(common), piece):
            pairs = [(both[images][i], both[masks][i]) for i in common[start : start + piece]]
            if len(pairs) >= 3:
                found[f"{folder}/{common[start]}"] = pairs
    return found


class _Below:
    """A tree with only the files below ``prefix``."""

    def __init__(self, tree: FileTree, prefix: str) -> None:
        self._tree, self._prefix = tree, prefix

    def names(self) -> list[str]:
        return [name for name in self._tree.names() if name.startswith(self._prefix)]

    def read(self, name: str) -> bytes:
        return self._tree.read(name)


def _ucsd(tree: FileTree) -> Iterator[PictureGroup]:
    below = _Below(tree, "UCSD_dataset/")
    return foreground_sequences(below, _paired(below, "in", "groundtruth", 60, 1, ()), {255: 1, 1: 1})


def _sbi(tree: FileTree) -> Iterator[PictureGroup]:
    below = _Below(tree, "SBI2015_dataset/")
    pairs = _paired(below, "input", "groundtruth", 40, 3, ("Snellen", "/Foliage", "Toscana"))
    return foreground_sequences(below, pairs, {255: 1, 170: 255, 85: 255})


def _cdnet(tree: FileTree) -> Iterator[PictureGroup]:
    pairs = _paired(tree, "input", "groundtruth", 40, 4, ())
    return foreground_sequences(tree, pairs, {255: 1, 170: 255, 85: 255})


def _tabletop(tree: FileTree) -> Iterator[PictureGroup]:
    base = "neural_network/images/default_objects"
    masks = [n for n in tree.names() if n.startswith(f"{base}/masks_machine/")]
    pairs = [(f"{base}/img/{PurePosixPath(m).stem}.jpg", m) for m in masks]
    return mask_sequences(tree, {"tabletop": pairs})


def _penn_fudan(tree: FileTree) -> Iterator[PictureGroup]:
    base = "data/PennFudanPed"
    masks = [n for n in tree.names() if n.startswith(f"{base}/PedMasks/")]
    return mask_stills(
        tree, [(f"{base}/PNGImages/{PurePosixPath(m).stem.removesuffix('_mask')}.png", m) for m in masks], "person"
    )


def _pets(tree: FileTree) -> Iterator[PictureGroup]:
    """Trimaps: 1 the animal, 2 not, 3 the outline. Breeds of cats have a capital initial."""
    maps = [n for n in tree.names() if n.startswith("annotations/trimaps/") and n.endswith(".png") and "/._" not in n]
    pairs = [(f"images/{PurePosixPath(m).stem}.jpg", m) for m in maps]
    kinds = {image: "cat" if PurePosixPath(image).name[0].isupper() else "dog" for image, _ in pairs}
    return mask_stills(tree, pairs, kinds, {1: 1, 3: 255})


def _coco(*parts: tuple[str, str]) -> Callable[[FileTree], Iterator[PictureGroup]]:
    """Several (annotations, folder of images)."""
    return lambda tree: chain.from_iterable(coco_stills(tree, json, [folder, ""]) for json, folder in parts)


def _via(kind: str, *parts: tuple[str, str]) -> Callable[[FileTree], Iterator[PictureGroup]]:
    return lambda tree: chain.from_iterable(via_stills(tree, json, folder, kind) for json, folder in parts)


_COCO_TERMS = "annotations CC BY 4.0; images under their Flickr terms"
_TRAIN_VAL = (("annotations/instances_train2017.json", "train2017"), ("annotations/instances_val2017.json", "val2017"))

SOURCES = (
    Source(
        "stills",
        "./train_images",
        "stills",
        "VOC, SBD, ECSSD: none stated; CCP: Apache-2.0 repository; COCO as below",
        _local_stills,
    ),
    Source("davis", "./davis2016_train", "videos", "CC BY-NC 4.0", _davis),
    Source("bms26", "YIFEI-MA/BackgroundSubtractionForMovingCamera", "videos", "scientific use only", _bms26),
    Source("ucsd", "lim-anggun/FgSegNet", "videos", "authors' work CC BY-NC 4.0; data: none stated", _ucsd),
    Source("sbi", "lim-anggun/FgSegNet", "videos", "authors' work CC BY-NC 4.0; data: none stated", _sbi),
    Source("cdnet", "mcv-m6-video/mcv-m6-2018-team8", "videos", "MIT for the code; data: none stated", _cdnet),
    Source("tabletop", "spbstu-study/video-object-segmentation", "videos", "none stated", _tabletop),
    Source("coco-tiny", "zzowenzz/COCO_Tiny", "stills", _COCO_TERMS, _coco(*_TRAIN_VAL)),
    Source("coco-mini", "Obmutescence/COCO-MINI", "stills", _COCO_TERMS, _coco(*_TRAIN_VAL)),
    Source("coco-128", "developer0hye/COCO128", "stills", _COCO_TERMS, _coco(_TRAIN_VAL[0])),
    Source(
        "coco-32",
        "enginbozaba/tiny_coco",
        "stills",
        _COCO_TERMS,
        _coco(
            ("annotations/instances_train2017.json", "images/train2017"),
            ("annotations/instances_val2017.json", "images/val2017"),
        ),
    ),
    Source(
        "animals",
        "KomaHomu/Applying-Mask-RCNN-in-endangered-animals-detection",
        "stills",
        "CC BY 4.0",
        _coco(*((f"dataset/{part}/_annotations.coco.json", f"dataset/{part}") for part in ("train", "valid", "test"))),
    ),
    Source(
        "feral-cats",
        "pcashman21/feral-cat-segmentation-dataset-and-model",
        "stills",
        "MIT; data public domain",
        lambda tree: yolo_stills(tree, "cat"),
    ),
    Source("pets", "Naveen-Dodda/Sample_Pets_dataset", "stills", "research only", _pets),
    Source("people", "gmguarino/PennFudan", "stills", "authors' rights, research", _penn_fudan),
    Source(
        "pigs",
        "JeonMoonSu/mask_r_cnn_pig_detection",
        "stills",
        "MIT for the code; images from the web",
        _via("pig", *((f"pig_images/{part}/via_region_data.json", f"pig_images/{part}") for part in ("train", "val"))),
    ),
    Source(
        "kayaks",
        "ndakic/kayaker-detection",
        "stills",
        "none stated",
        _via("kayak", *((f"dataset/{part}/annotations.json", f"dataset/{part}") for part in ("train", "test"))),
    ),
    Source(
        "bottles",
        "PJ1920/Transfer-learning-for-Instance-segmentation-of-Waste-bottles-using-Mask-RCNN",
        "stills",
        "MIT for the code",
        _via(
            "bottle", *((f"dataset/{part}/via_region_data.json", f"dataset/{part}") for part in ("train", "train-addln", "val"))
        ),
    ),
    Source(
        "cockatoos",
        "ChangeYourBackground/Custom_Train_MaskRCNN",
        "stills",
        "none stated",
        _coco(
            ("dataset/train/annotations.json", "dataset/train/images"), ("dataset/val/annotations.json", "dataset/val/images")
        ),
    ),
)
