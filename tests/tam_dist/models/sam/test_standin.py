"""segment-anything imports without torchvision, and nothing of the stand-in stays behind."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tam_dist.models.sam._torchvision_standin import torchvision_standin
from tam_dist.models.sam.build import ResizeLongestSide


def test_no_trace_in_a_fresh_process() -> None:
    code = (
        "import sys; before = 'torchvision' in sys.modules; import tam_dist.models.sam.build;"
        "from importlib.util import find_spec; real = find_spec('torchvision') is not None;"
        "print(real or not any(n.split('.')[0] == 'torchvision' for n in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_removed_also_when_the_import_fails() -> None:
    before = set(sys.modules)
    with pytest.raises(ZeroDivisionError), torchvision_standin():
        raise ZeroDivisionError
    assert not {name for name in set(sys.modules) - before if name.startswith("torchvision")}


def test_resizing_is_pillows_bilinear() -> None:
    image = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    resized = ResizeLongestSide(25).apply_image(image)
    expected = np.asarray(Image.fromarray(image).resize((25, 15), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(resized, expected)


def test_no_side_of_a_very_flat_picture_vanishes() -> None:
    for height, width in ((2, 4000), (4000, 2)):
        resized = ResizeLongestSide(352).apply_image(np.zeros((height, width, 3), np.uint8))
        assert sorted(resized.shape[:2]) == [1, 352]
