"""Whole videos against the golden vectors, with the same random weights; and the same videos cut by a snapshot."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from tam_dist.models.xmem.inference import InferenceCore
from tam_dist.models.xmem.network import XMem
from tam_dist.tracking.snapshot import pack_snapshot, unpack_snapshot
from tests.golden.cases import Case, advance
from tests.tam_dist.models.xmem.conftest import Golden

CPU = torch.device("cpu")
pytestmark = [
    pytest.mark.timeout(1200),  # one case in a test, on a machine that may be busy
    pytest.mark.usefixtures("one_thread"),
]

#: How many frames of each case show all that it is about: memory reading; an object's entry; consolidation and eviction;
#: corrections. The rest is for the slow tests.
EVENTFUL = {"case1": 9, "case2": 11, "case3": 20, "case5": 17}


class Run:
    """A case run as far as a test needs: probabilities (n+1, h, w), memory sizes and the serialised state after each frame."""

    def __init__(self, case: Case, network: XMem) -> None:
        self.case = case
        self.core = InferenceCore(network, case.config, device=CPU)
        self.outputs: list[Tensor] = []
        self.sizes: list[tuple[tuple[int, int, int], ...]] = []
        self.snapshots: list[bytes] = []

    def until(self, frames: int) -> Run:
        for t in range(len(self.outputs), frames):
            self.outputs.append(advance(self.core, self.case, t))
            self.sizes.append(self.core.memory_sizes)
            self.snapshots.append(pack_snapshot(t, *self.core.state()))
        return self


@pytest.fixture(scope="module")
def runs(golden: Golden) -> Callable[[str], Run]:
    """A case by name; each is run once, with official widths about half a second a frame."""

    @functools.cache
    def run(name: str) -> Run:
        return Run(Case.load(name, golden.load(name)), golden.network)

    return run


def check(run: Run, frames: int) -> None:
    """The first ``frames`` frames against the vectors."""
    case, worst = run.case, 0.0
    run.until(frames)
    for t in range(frames):
        actual, expected = run.outputs[t], case.expected(t)
        objects = actual[1:, case.kept, case.kept]
        torch.testing.assert_close(objects, expected, rtol=0, atol=1e-3)
        worst = max(worst, (objects - expected).abs().max().item())
        agreement = (actual.argmax(0).numpy() == case.data["labels"][t]).mean()
        assert agreement >= 0.999, f"frame {t}"
    # Official XMem keeps in working memory what is permanent here.
    sizes = np.array([[working + permanent, long] for (long, working, permanent), *_ in run.sizes[:frames]])
    np.testing.assert_array_equal(sizes, case.data["mem_sizes"][:frames])
    print(f"{case.name}: largest difference over {frames} frames {worst:.1e}")


@pytest.mark.parametrize(("name", "frames"), EVENTFUL.items())
def test_first_frames(runs: Callable[[str], Run], name: str, frames: int) -> None:
    check(runs(name), frames)


@pytest.mark.slow
@pytest.mark.parametrize("name", EVENTFUL)
def test_all_frames(runs: Callable[[str], Run], name: str) -> None:
    run = runs(name)
    check(run, len(run.case.frames))


@pytest.mark.slow
@pytest.mark.parametrize("name", EVENTFUL)
def test_final_state(runs: Callable[[str], Run], name: str) -> None:
    run = runs(name)
    case = run.case
    run.until(len(case.frames))
    tensors, _ = run.core.state()
    close(tensors["hidden"], case.data["hidden_last"])
    long = run.sizes[-1][0][0]
    key, shrinkage = tensors["group0.key"], tensors["group0.shrinkage"]
    official_key, official_shrinkage = case.data["work_key_last"][0].T, case.data["work_shrinkage_last"][0, 0]
    if name == "case5":  # its corrections went to permanent memory, which is matched last
        cells = tensors["hidden"][0, 0, 0].numel()
        given = [int(case.data["mem_sizes"][t - 1, 0]) // cells for t in (9, 15)]  # frames in memory before each correction
        order = [r for r in range(len(official_key) // cells) if r not in given] + given
        rows = np.concatenate([np.arange(r * cells, (r + 1) * cells) for r in order])
        official_key, official_shrinkage = official_key[rows], official_shrinkage[rows]
    close(key[long:], official_key)
    close(shrinkage[long:], official_shrinkage)
    if name == "case3":
        close(key[:long], case.data["long_key_last"][0].T)
        close(shrinkage[:long], case.data["long_shrinkage_last"][0, 0])
        value = tensors["group0.value"][:long, :, :-2].mean(2).T
        close(value, case.data["long_value_mean_last"])
        for kind in ("use", "life"):
            close(tensors[f"group0.{kind}"][:long], case.data[f"long_{kind}_last"][0, 0])
            close(tensors[f"group0.{kind}"][long:], case.data[f"work_{kind}_last"][0, 0])


def close(actual: Tensor, expected: np.ndarray) -> None:
    torch.testing.assert_close(actual, torch.from_numpy(expected.copy()), rtol=1e-3, atol=1e-3)


def continues_identically(network: XMem, run: Run, cut: int, frames: int) -> None:
    """Restored from the bytes saved after frame ``cut``, the next ``frames`` frames come out bit by bit the same."""
    run.until(cut + 1 + frames)
    _, tensors, meta = unpack_snapshot(run.snapshots[cut])
    core = InferenceCore(network, run.case.config, device=CPU)
    core.restore(tensors, meta)
    for t in range(cut + 1, cut + 1 + frames):
        assert torch.equal(advance(core, run.case, t), run.outputs[t]), f"frame {t} after a cut behind {cut}"
        assert pack_snapshot(t, *core.state()) == run.snapshots[t], f"state at {t} after a cut behind {cut}"


@pytest.mark.parametrize(("name", "cut"), [("case2", 7), ("case3", 12), ("case5", 14)])
def test_a_cut_leaves_no_trace(runs: Callable[[str], Run], golden: Golden, name: str, cut: int) -> None:
    """Over an object's entry, a consolidation, and a correction."""
    continues_identically(golden.network, runs(name), cut, frames=2)


@pytest.mark.slow
@pytest.mark.parametrize("name", EVENTFUL)
def test_no_cut_leaves_a_trace(runs: Callable[[str], Run], golden: Golden, name: str) -> None:
    """A frame that starts and ends in the same bits as in the uncut run carries the proof on to the next frame."""
    run = runs(name)
    for cut in range(len(run.case.frames) - 1):
        continues_identically(golden.network, run, cut, frames=1)
