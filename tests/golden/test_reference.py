"""The restatement of XMem against the official code's own vectors, and the vectors of this folder against the restatement."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.golden import make
from tests.golden import reference as r
from tests.golden.weights import TINY, Widths, layout, make_weights

HERE = Path(__file__).parent
pytestmark = pytest.mark.usefixtures("one_thread")
#: Frames of each official video that the quick test runs; all of them take minutes.
FIRST = {"case1": 5, "case2": 3, "case3": 4, "case5": 3}


@pytest.fixture(scope="module")
def official_weights() -> r.Weights:
    return make_weights(Widths())


def follow(folder: Path, name: str, weights: r.Weights, frames: int | None = None) -> float:
    """The largest difference of probabilities over the first ``frames`` frames; the sizes of memory must be the same."""
    with np.load(folder / f"{name}.npz") as data:
        options, events = json.loads(str(data["config"])), json.loads(str(data["mask_events"]))
        images, probs, sizes = data["images"], data["probs"].astype(np.float32), data["mem_sizes"]
        stride, ends = int(data["stride"]) if "stride" in data else 1, bool(data["end_on_last"])
        masks = {t: torch.from_numpy(data[f"mask_{int(t):05d}"]).float() for t in events}
    tracker, worst = r.Tracker(weights, options), 0.0
    for t, image in enumerate(images[:frames]):
        event: dict[str, Any] = events.get(str(t), {})
        given = masks.get(str(t)), event.get("valid_labels")
        out = tracker.step(torch.from_numpy(image), *given, end=ends and t == len(images) - 1)
        known = len(out) - 1
        assert np.isnan(probs[t, known:]).all()
        worst = max(worst, float(np.abs(out[1:, ::stride, ::stride].numpy() - probs[t, :known]).max()))
        assert tracker.memory.sizes == tuple(sizes[t])
    return worst


@pytest.mark.parametrize("name", FIRST)
def test_the_first_frames_are_those_of_the_official_code(shared_dir: Path, official_weights: r.Weights, name: str) -> None:
    assert follow(shared_dir / "golden" / "xmem", name, official_weights, FIRST[name]) < 5e-5


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", FIRST)
def test_all_frames_are_those_of_the_official_code(shared_dir: Path, official_weights: r.Weights, name: str) -> None:
    assert follow(shared_dir / "golden" / "xmem", name, official_weights) < 5e-5


def test_the_memory_alone_is_that_of_the_official_code(shared_dir: Path) -> None:
    with np.load(shared_dir / "golden" / "xmem" / "case6_memory_only.npz") as data:
        parts = {name: torch.from_numpy(data[name]).flatten(-2) for name in ("key", "shrinkage", "selection", "value")}
        readout, sizes, options = (
            torch.from_numpy(data["readout"]).flatten(-2),
            data["mem_sizes"],
            json.loads(str(data["config"])),
        )
    memory = r.Memory(options)
    for t in range(len(sizes)):
        if t:
            torch.testing.assert_close(memory.read(parts["key"][t], parts["selection"][t]), readout[t - 1], rtol=0, atol=1e-5)
        memory.add(*(parts[name][t] for name in ("key", "shrinkage", "selection")), [parts["value"][t]])
        assert sorted(memory.sizes) == sorted(sizes[t])


def test_names_shapes_and_random_weights_are_the_official_ones(shared_dir: Path, official_weights: r.Weights) -> None:
    folder = shared_dir / "golden" / "xmem"
    shapes = json.loads((folder / "state-dict.json").read_text())
    assert layout(Widths()) == {name: tuple(shape) for name, shape in shapes.items()}
    fingerprints = json.loads((folder / "weights-fingerprint.json").read_text())
    for name, tensor in official_weights.items():
        assert zlib.crc32(tensor.numpy().tobytes()) == fingerprints[name]["crc32"], name


@pytest.mark.parametrize("name", make.CASES)
def test_the_vectors_are_those_that_the_script_writes(name: str) -> None:
    assert follow(HERE, name, make_weights(TINY)) < 6e-4  # they are kept as float16


def test_the_vectors_stay_small() -> None:
    assert sum(path.stat().st_size for path in HERE.glob("*.npz")) < 1_000_000
