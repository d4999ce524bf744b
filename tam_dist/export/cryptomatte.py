"""Cryptomatte in OpenEXR, which Nuke, Fusion, Blender and After Effects pick objects from by their names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import OpenEXR

from tam_dist.export.footage import Footage, MaskFrame
from tam_dist.export.parallel import for_each
from tam_dist.media.colours import colour_table

LAYER = "tam_dist"
_EXPONENT = 0x7F800000


def write_cryptomatte(footage: Footage, folder: Path) -> None:
    """``00000.exr`` a frame: in ``tam_dist00`` an id and a coverage of 1 where an object is, 0 beside, float32 and losslessly
    compressed; R, G, B show the objects' colours.
    """
    hashes = {item.id: name_hash(item.name) for item in footage.objects}
    of_label = np.zeros(1 + max(hashes), np.float32)
    for id_, value in hashes.items():
        of_label[id_] = np.uint32(value).view(np.float32)
    colours = (colour_table(footage.objects) / 255).astype(np.float16)  # for show
    key = f"cryptomatte/{name_hash(LAYER):08x}"[: len("cryptomatte/") + 7]
    header = {
        "compression": OpenEXR.ZIPS_COMPRESSION,
        "type": OpenEXR.scanlineimage,
        f"{key}/name": LAYER,
        f"{key}/hash": "MurmurHash3_32",
        f"{key}/conversion": "uint32_to_float32",
        f"{key}/manifest": json.dumps({item.name: f"{hashes[item.id]:08x}" for item in footage.objects}),
    }

    def write(frame: MaskFrame) -> None:
        seen = (frame.labels > 0).astype(np.float32)
        nothing = np.zeros_like(seen)
        channels = dict(zip("RGB", np.ascontiguousarray(np.moveaxis(colours[frame.labels], -1, 0)), strict=True))
        channels |= {f"{LAYER}00.R": of_label[frame.labels], f"{LAYER}00.G": seen}
        channels |= {f"{LAYER}00.B": nothing, f"{LAYER}00.A": nothing}
        OpenEXR.File(header, channels).write(str(folder / f"{footage.stem(frame.number)}.exr"))

    for_each(write, footage)


def name_hash(name: str) -> int:
    """MurmurHash3 (32 bit, seed 0) of the name in UTF-8, made a normal float where its bits are none, as Cryptomatte wants it.

    >>> f"{name_hash('hello'):08x}"
    '248bfa47'
    """
    data = name.encode()
    h = 0
    whole = len(data) - len(data) % 4
    for at in range(0, whole, 4):
        h = _mix(h ^ _scramble(int.from_bytes(data[at : at + 4], "little")))
    h ^= _scramble(int.from_bytes(data[whole:], "little")) if len(data) > whole else 0
    h ^= len(data)
    h = (h ^ h >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    h = (h ^ h >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    h ^= h >> 16
    return h ^ 1 << 23 if h & _EXPONENT in (0, _EXPONENT) else h  # neither zero, subnormal, infinite nor NaN


def _scramble(k: int) -> int:
    k = k * 0xCC9E2D51 & 0xFFFFFFFF
    return (k << 15 | k >> 17) * 0x1B873593 & 0xFFFFFFFF


def _mix(h: int) -> int:
    return ((h << 13 | h >> 19) & 0xFFFFFFFF) * 5 + 0xE6546B64 & 0xFFFFFFFF
