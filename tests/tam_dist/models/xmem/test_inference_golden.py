"""Whole videos against official XMem, with the same random weights; and the same videos cut by a snapshot."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tam_dist.config import PropagationConfig
from tam_dist.models.xmem.inference import InferenceCore
from tam_dist.models.xmem.network import XMem
from tam_dist.tracking.snapshot import pack_snapshot, unpack_snapshot

CPU = torch.device("cpu")
pytestmark = pytest.mark.timeout(1200)  # one case in a test, on a machine that may be busy

CASES = ("case1", "case2", "case3", "case5")


@dataclass
class Case:
    """One golden video: frames uint8 (T, h, w, 3), masks per frame and object, official outputs."""

    name: str
    data: dict[str, np.ndarray]
    config: PropagationConfig
    masks: dict[int, dict[int, Tensor]]

    @classmethod
    def load(cls, path: Path) -> Case:
        with np.load(path) as file:
            data = {key: file[key] for key in file.files}
        official = json.loads(str(data["config"]))
        config = PropagationConfig(
            short_side=480,
            key_batch=1,
            mem_every=official["mem_every"],
            deep_update_every=official["deep_update_every"],
            top_k=official["top_k"],
            long_term=official["enable_long_term"],
            min_working_frames=official["min_mid_term_frames"],
            max_working_frames=official["max_mid_term_frames"],
            num_prototypes=official["num_prototypes"],
            max_long_term_elements=official["max_long_term_elements"],
            max_permanent_frames=32,
            query_block=32,
        )
        masks = {}
        for frame, event in json.loads(str(data["mask_events"])).items():
            stack = torch.from_numpy(data[f"mask_{int(frame):05d}"]).float()
            masks[int(frame)] = {i: stack[i - 1] for i in event["valid_labels"]}
        return cls(path.stem, data, config, masks)

    @property
    def frames(self) -> Tensor:
        return torch.from_numpy(self.data["images"])

    def ends(self, t: int) -> bool:
        return bool(self.data["end_on_last"]) and t == len(self.frames) - 1


@dataclass
class Run:
    """What one pass gave: probabilities (n, h, w) a frame, memory sizes, and the serialised state after each frame."""

    core: InferenceCore
    outputs: list[Tensor] = field(default_factory=list)
    sizes: list[list[tuple[int, int, int]]] = field(default_factory=list)
    snapshots: list[bytes] = field(default_factory=list)


def advance(core: InferenceCore, case: Case, t: int) -> Tensor:
    (frame,) = core.encode(case.frames[t : t + 1])
    return core.step(frame, case.masks.get(t), end=case.ends(t))


@pytest.fixture(scope="module", autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


Runs = Callable[[str], tuple[Case, Run]]


@pytest.fixture(scope="module")
def runs(golden_dir: Path, official_network: XMem) -> Runs:
    """A case by name, run once from its first frame to its last; about half a second a frame on two free cores."""

    @functools.cache
    def run(name: str) -> tuple[Case, Run]:
        case = Case.load(golden_dir / f"{name}.npz")
        result = Run(InferenceCore(official_network, case.config, device=CPU))
        for t in range(len(case.frames)):
            result.outputs.append(advance(result.core, case, t))
            result.sizes.append(list(result.core.memory_sizes))
            result.snapshots.append(pack_snapshot(t, *result.core.state()))
        return case, result

    return run


@pytest.mark.parametrize("name", CASES)
def test_probabilities_and_labels(runs: Runs, name: str) -> None:
    case, run = runs(name)
    worst = 0.0
    for t, actual in enumerate(run.outputs):
        expected = torch.from_numpy(case.data["probs"][t])
        expected = expected[~expected.isnan().all((1, 2))]
        torch.testing.assert_close(actual[1:], expected, rtol=0, atol=1e-3)
        worst = max(worst, (actual[1:] - expected).abs().max().item())
        agreement = (actual.argmax(0).numpy() == case.data["labels"][t]).mean()
        assert agreement >= 0.999, f"frame {t}"
    print(f"{name}: largest difference {worst:.1e}")


@pytest.mark.parametrize("name", CASES)
def test_memory_sizes(runs: Runs, name: str) -> None:
    """The first group is as large as official XMem's memory, which keeps permanent frames in working memory."""
    case, run = runs(name)
    sizes = np.array([[working + permanent, long] for (long, working, permanent), *_ in run.sizes])
    np.testing.assert_array_equal(sizes, case.data["mem_sizes"])


@pytest.mark.parametrize("name", CASES)
def test_final_state(runs: Runs, name: str) -> None:
    case, run = runs(name)
    tensors, _ = run.core.state()
    close(tensors["hidden"], case.data["hidden_last"])
    long = run.sizes[-1][0][0]
    key, shrinkage = tensors["group0.key"], tensors["group0.shrinkage"]
    official_key, official_shrinkage = case.data["work_key_last"][0].T, case.data["work_shrinkage_last"][0, 0]
    if name == "case5":  # its corrections went to permanent memory, which is matched last
        cells = 60
        given = [case_frame_row(case, t) for t in (9, 15)]
        order = [r for r in range(len(official_key) // cells) if r not in given] + given
        rows = np.concatenate([np.arange(r * cells, (r + 1) * cells) for r in order])
        official_key, official_shrinkage = official_key[rows], official_shrinkage[rows]
    close(key[long:], official_key)
    close(shrinkage[long:], official_shrinkage)
    if name == "case3":
        close(key[:long], case.data["long_key_last"][0].T)
        close(shrinkage[:long], case.data["long_shrinkage_last"][0, 0])
        value = tensors["group0.value"][:long, :, :-1].mean(2).T
        close(value, case.data["long_value_mean_last"])
        for kind in ("use", "life"):
            close(tensors[f"group0.{kind}"][:long], case.data[f"long_{kind}_last"][0, 0])
            close(tensors[f"group0.{kind}"][long:], case.data[f"work_{kind}_last"][0, 0])


def case_frame_row(case: Case, t: int) -> int:
    """How many frames were in memory before frame ``t`` was written."""
    return int(case.data["mem_sizes"][t - 1, 0]) // 60


def close(actual: Tensor, expected: np.ndarray) -> None:
    torch.testing.assert_close(actual, torch.from_numpy(expected.copy()), rtol=1e-3, atol=1e-3)


def continues_identically(network: XMem, case: Case, run: Run, cut: int, frames: int) -> None:
    """Restored from the bytes saved after frame ``cut``, the next ``frames`` frames come out bit by bit the same."""
    _, tensors, meta = unpack_snapshot(run.snapshots[cut])
    core = InferenceCore(network, case.config, device=CPU)
    core.restore(tensors, meta)
    for t in range(cut + 1, min(cut + 1 + frames, len(case.frames))):
        assert torch.equal(advance(core, case, t), run.outputs[t]), f"frame {t} after a cut behind {cut}"
        assert pack_snapshot(t, *core.state()) == run.snapshots[t], f"state at {t} after a cut behind {cut}"


@pytest.mark.parametrize(("name", "cut"), [("case2", 7), ("case3", 11), ("case5", 13)])
def test_a_cut_leaves_no_trace(runs: Runs, official_network: XMem, name: str, cut: int) -> None:
    """Over an object's entry, a consolidation, and a correction."""
    continues_identically(official_network, *runs(name), cut, frames=3)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("name", CASES)
def test_no_cut_leaves_a_trace(runs: Runs, official_network: XMem, name: str) -> None:
    """A frame that starts and ends in the same bits as in the uncut run carries the proof to the frame after it."""
    case, run = runs(name)
    for cut in range(len(case.frames) - 1):
        continues_identically(official_network, case, run, cut, frames=1)
    continues_identically(official_network, case, run, len(case.frames) // 3, frames=len(case.frames))
