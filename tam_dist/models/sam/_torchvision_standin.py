"""segment-anything without torchvision.

Importing segment-anything imports torchvision, of which the parts used here need two functions, both one line of
Pillow. torchvision is large and pinned to one torch version each, so where it is not installed a stand-in takes its
place during that import only; it leaves ``sys.modules`` at once, so no other library ever sees it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


@contextmanager
def torchvision_standin() -> Iterator[None]:
    """Inside the block ``import segment_anything`` works, with or without torchvision."""
    if find_spec("torchvision") is not None:
        yield
        return
    modules = _standin_modules()
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]


def _standin_modules() -> dict[str, ModuleType]:
    names = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional", "torchvision.ops")
    modules = {name: ModuleType(name) for name in (*names, "torchvision.ops.boxes")}
    for name in (*names[:2], "torchvision.ops"):
        modules[name].__path__ = []
    functional: Any = modules["torchvision.transforms.functional"]
    functional.to_pil_image = _to_pil_image
    functional.resize = _resize
    boxes: Any = modules["torchvision.ops.boxes"]
    boxes.batched_nms = boxes.box_area = _absent
    return modules


def _to_pil_image(image: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(image)


def _resize(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """``size``: height, width; torchvision's default for Pillow images is antialiased bilinear, which is Pillow's own."""
    height, width = size
    return image.resize((width, height), Image.Resampling.BILINEAR)


def _absent(*_: object) -> None:
    raise NotImplementedError("segment-anything's automatic mask generator needs torchvision, which is not installed.")
