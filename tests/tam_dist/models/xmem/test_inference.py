"""What the inference core promises beyond official XMem's numbers, on a small network of random weights."""

from __future__ import annotations

import ctypes
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tam_dist.config import PropagationConfig
from tam_dist.models.xmem.config import SMALL
from tam_dist.models.xmem.inference import InferenceCore
from tam_dist.models.xmem.network import XMem
from tam_dist.tracking.snapshot import pack_snapshot, unpack_snapshot

CPU = torch.device("cpu")
SIZE = (40, 56)  # padded to 64x64: 16 cells
CELLS = 16
CONFIG = PropagationConfig(
    short_side=480,
    enlarge=False,
    key_batch=4,
    mem_every=2,
    deep_update_every=-1,
    top_k=8,
    long_term=True,
    min_working_frames=2,
    max_working_frames=4,
    num_prototypes=6,
    max_long_term_elements=20,
    max_permanent_frames=2,
    query_block=64,
)


@pytest.fixture(scope="module")
def network() -> XMem:
    torch.manual_seed(0)
    return XMem(SMALL).eval().requires_grad_(False)


def video(frames: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (frames, *SIZE, 3), dtype=torch.uint8, generator=generator)


def box(x: int) -> Tensor:
    mask = torch.zeros(SIZE, dtype=torch.bool)
    mask[8:24, x : x + 12] = True
    return mask


def track(core: InferenceCore, frames: Tensor, masks: dict[int, dict[int, Tensor]], start: int = 0) -> list[Tensor]:
    """Each frame by predict and update, as a session does it."""
    outputs = []
    for t, image in enumerate(frames, start=start):
        (frame,) = core.encode(image[None])
        given = masks.get(t, {})
        prediction = core.predict(frame, prompted=bool(given)) if core.object_ids else None
        outputs.append(core.update(frame, prediction, given))
    return outputs


def test_predict_and_update_are_step(network: XMem) -> None:
    frames = video(9)
    masks = {0: {1: box(4)}, 3: {2: box(30)}, 5: {1: box(8)}, 7: {1: box(6), 2: box(28)}}
    for every in (-1, 3):
        config = dataclasses.replace(CONFIG, deep_update_every=every)
        core = InferenceCore(network, config, device=CPU)
        apart = track(core, frames, masks)
        other = InferenceCore(network, config, device=CPU)
        for t, expected in enumerate(apart):
            (frame,) = other.encode(frames[t : t + 1])
            assert torch.equal(other.step(frame, masks.get(t)), expected), f"frame {t}"
        assert pack_snapshot(0, *core.state()) == pack_snapshot(0, *other.state())


def test_predict_changes_nothing(network: XMem) -> None:
    core = InferenceCore(network, CONFIG, device=CPU)
    track(core, video(5), {0: {1: box(4)}})
    before = pack_snapshot(0, *core.state())
    (frame,) = core.encode(video(1, seed=9))
    first = core.predict(frame)
    assert pack_snapshot(0, *core.state()) == before
    assert torch.equal(core.predict(frame).probabilities, first.probabilities)


@settings(deadline=None, max_examples=5)
@given(st.integers(0, 16), st.integers(0, 100))
def test_a_cut_anywhere_leaves_no_trace(network: XMem, cut: int, seed: int) -> None:
    """Over new objects, corrections, consolidations and evictions, where it starts late."""
    frames, late = video(16, seed), 2
    masks = {2: {3: box(4)}, 6: {1: box(30), 5: box(18)}, 8: {3: box(6)}, 12: {1: box(31)}, 13: {1: box(32)}}

    def started() -> InferenceCore:
        core = InferenceCore(network, CONFIG, device=CPU)
        for _ in range(late):
            core.skip()
        return core

    whole, core, resumed = started(), started(), InferenceCore(network, CONFIG, device=CPU)
    expected = track(whole, frames, masks, start=late)
    outputs = track(core, frames[:cut], masks, start=late)
    _, tensors, meta = unpack_snapshot(pack_snapshot(0, *core.state()))
    resumed.restore(tensors, meta)
    outputs += track(resumed, frames[cut:], masks, start=late + cut)
    for t, (a, b) in enumerate(zip(outputs, expected, strict=True)):
        assert torch.equal(a, b), f"frame {t} after a cut before {cut}"
    assert pack_snapshot(0, *resumed.state()) == pack_snapshot(0, *whole.state())


def test_state_of_an_untouched_core(network: XMem) -> None:
    core = InferenceCore(network, CONFIG, device=CPU)
    tensors, meta = core.state()
    other = InferenceCore(network, CONFIG, device=CPU)
    other.restore(tensors, meta)
    frames, masks = video(3), {0: {1: box(4)}}
    for a, b in zip(track(core, frames, masks), track(other, frames, masks), strict=True):
        assert torch.equal(a, b)


def test_memory_is_bounded_for_any_length(network: XMem) -> None:
    """Two groups and a correction now and then: the whole state stays under a limit that knows nothing of the length."""
    cells, size = 4, (32, 32)
    core = InferenceCore(network, CONFIG, device=CPU)
    limits = (CONFIG.max_long_term_elements, (CONFIG.max_working_frames - 1) * cells, CONFIG.max_permanent_frames * cells)
    per_element = 64 + 1 + 64 + SMALL.value_dim + 2 + 2
    limit = 2 * sum(limits) * per_element + 2 * cells * SMALL.hidden_dim
    generator = torch.Generator().manual_seed(0)
    for start in range(0, 120, 10):
        frames = torch.randint(0, 256, (10, *size, 3), dtype=torch.uint8, generator=generator)
        for t, frame in enumerate(core.encode(frames), start=start):
            masks = {1: torch.rand(size, generator=generator)} if t % 9 == 0 else {}
            if t == 20:
                masks[2] = torch.rand(size, generator=generator)
            core.step(frame, masks)
            assert all(n <= most for sizes in core.memory_sizes for n, most in zip(sizes, limits, strict=True))
        tensors, meta = core.state()
        assert sum(t.numel() for t in tensors.values()) <= limit
        assert len(json.dumps(meta)) < 1000
    assert core.memory_sizes[0][0] == limits[0]
    assert core.memory_sizes[0][2] == limits[2]


def test_prompted_frames_are_permanent_for_their_group_alone(network: XMem) -> None:
    core = InferenceCore(network, dataclasses.replace(CONFIG, mem_every=100), device=CPU)
    track(core, video(2), {0: {1: box(4)}})
    assert core.memory_sizes == ((0, CELLS, 0),)
    track(core, video(2), {2: {2: box(30)}}, start=2)
    assert core.memory_sizes == ((0, 2 * CELLS, 0), (0, CELLS, 0))  # 1 was only predicted there
    track(core, video(1), {4: {1: box(4)}}, start=4)
    assert core.memory_sizes == ((0, 2 * CELLS, CELLS), (0, 2 * CELLS, 0))
    (frame,) = core.encode(video(1))
    core.update(frame, core.predict(frame), {2: box(30)}, permanent=False)
    assert core.memory_sizes == ((0, 3 * CELLS, CELLS), (0, 3 * CELLS, 0))


def test_absent_objects_get_nothing(network: XMem) -> None:
    core = InferenceCore(network, CONFIG, device=CPU)
    track(core, video(3), {0: {1: box(4), 2: box(30)}})
    (frame,) = core.encode(video(1, seed=4))
    present = core.predict(frame)
    absent = core.predict(frame, absent=frozenset({1}))
    assert present.probabilities[1].max() > 1e-3
    assert absent.probabilities[1].max() < 1e-5
    torch.testing.assert_close(absent.probabilities.sum(0), torch.ones(SIZE))
    assert (absent.probabilities[2] >= present.probabilities[2] - 1e-6).all()
    assert core.update(frame, absent, {})[1].max() < 1e-5


def test_frames_without_an_object_teach_nothing_about_it(network: XMem) -> None:
    """Remembered as background, forty such frames lost an object for good."""
    core = InferenceCore(network, CONFIG, device=CPU)
    frames = video(12)
    track(core, frames[:4], {0: {1: box(4)}})
    before, _ = core.state()
    gone = frozenset({1})
    for frame in core.encode(frames[4:9]):
        core.update(frame, core.predict(frame, absent=gone), {}, absent=gone)
    after, _ = core.state()
    assert all(torch.equal(before[name], after[name]) for name in before if name != "hidden")
    assert not after["hidden"].any()


def test_a_frame_without_one_of_two_objects_teaches_about_the_other(network: XMem) -> None:
    frames, gone = video(8), frozenset({2})
    core = InferenceCore(network, dataclasses.replace(CONFIG, mem_every=1, top_k=1000, max_working_frames=8), device=CPU)
    track(core, frames[:1], {0: {1: box(4), 2: box(30)}})
    first = core.predict(core.encode(frames[7:])[0]).evidence.foreground[1]
    for frame in core.encode(frames[1:4]):
        core.update(frame, core.predict(frame, absent=gone), {}, absent=gone)
    assert sum(core.memory_sizes[0]) == 4 * CELLS
    then = core.predict(core.encode(frames[7:])[0])
    values = core.state()[0]["group0.value"].view(4, CELLS, 2, -1)
    assert values[1:, :, 0].any()
    assert not values[1:, :, 1].any()
    assert then.evidence.foreground[1].max() <= 1 + 1e-5
    assert torch.allclose(then.evidence.foreground[1].mean(), first.mean(), rtol=0.5)  # not diluted by four frames of nothing


def test_an_earlier_frame_is_remembered_anew_without_moving_on(network: XMem) -> None:
    core = InferenceCore(network, CONFIG, device=CPU)
    frames = video(4)
    track(core, frames[:2], {0: {1: box(4)}})
    (frame,) = core.encode(frames[2:3])
    prediction = core.predict(frame)
    core.update(frame, prediction, {})
    (before, clock), size = core.state(), sum(core.memory_sizes[0])
    core.recall(frame, prediction, {1: box(8)})
    after, then = core.state()
    assert sum(core.memory_sizes[0]) == size + CELLS
    assert torch.equal(before["hidden"], after["hidden"])
    assert clock["clock"] == then["clock"]


@settings(deadline=None, max_examples=10)
@given(st.lists(st.integers(0, 3), min_size=9, max_size=9), st.integers(0, 9))
def test_memory_read_ahead_changes_no_bit(network: XMem, blocks: list[int], removed: int) -> None:
    """Wherever reading ahead is broken off, and whatever has become of memory before the frame's turn."""
    frames, config = video(10), dataclasses.replace(CONFIG, query_block=6, mem_every=3)
    cores = [InferenceCore(network, config, device=CPU) for _ in range(2)]
    encoded = cores[0].encode(frames)
    for core in cores:
        core.step(encoded[0], {1: box(4), 2: box(30)})
    for t in range(1, 10):
        if t == removed:
            for core in cores:
                core.remove_object(1)
        left = iter(range(blocks[t - 1]))
        if t + 1 < 10:
            prediction = cores[1].predict(encoded[t])
            cores[1].foresee(encoded[t + 1], lambda left=left: next(left, None) is not None)  # type: ignore[misc]
            ahead = cores[1].update(encoded[t], prediction, {})
        else:
            ahead = cores[1].step(encoded[t])
        assert torch.equal(ahead, cores[0].step(encoded[t]))


def test_memory_is_read_ahead_unless_it_is_about_to_change(network: XMem) -> None:
    core, asked = InferenceCore(network, dataclasses.replace(CONFIG, mem_every=3), device=CPU), []

    def wanted() -> bool:
        asked.append(True)
        return False

    encoded = core.encode(video(5))
    core.foresee(encoded[0], wanted)
    assert not asked  # nothing is tracked yet
    core.step(encoded[0], {1: box(4)})
    for t in (1, 2, 3):
        before = len(asked)
        core.foresee(encoded[t + 1], wanted)  # while frame t is under way
        assert len(asked) - before == (0 if t == 3 else 1)  # the third enters memory
        core.step(encoded[t])


def test_given_masks_win(network: XMem) -> None:
    core = InferenceCore(network, CONFIG, device=CPU)
    outputs = track(core, video(3), {0: {1: box(4)}, 2: {2: box(10)}})
    assert core.object_ids == (1, 2)
    assert (outputs[2].argmax(0) == 2).equal(box(10))
    torch.testing.assert_close(outputs[2].sum(0), torch.ones(SIZE))


def test_removed_objects_are_forgotten(network: XMem) -> None:
    core = InferenceCore(network, CONFIG, device=CPU)
    track(core, video(10), {0: {1: box(4), 2: box(30)}, 4: {3: box(18)}})
    (frame,) = core.encode(video(1, seed=4))
    before = core.predict(frame)
    core.remove_object(2)
    assert core.object_ids == (1, 3)
    after = core.predict(frame)
    assert after.object_ids == (1, 3)
    kept = [0, 2]
    torch.testing.assert_close(after.evidence.foreground, before.evidence.foreground[kept])
    core.remove_object(3)
    assert len(core.memory_sizes) == 1
    core.remove_object(1)
    assert core.object_ids == ()
    with pytest.raises(KeyError):
        core.remove_object(1)
    with pytest.raises(RuntimeError, match="no object"):
        core.predict(frame)
    assert core.update(frame, None, {7: box(4)}).shape == (2, *SIZE)


def test_evidence_knows_a_frame_it_has_seen(network: XMem) -> None:
    core = InferenceCore(network, CONFIG, device=CPU)
    frames = video(1)
    track(core, frames, {0: {1: box(4), 2: box(30)}})
    (frame,) = core.encode(frames)
    evidence = core.predict(frame).evidence
    assert evidence.foreground.shape == evidence.similarity.shape == (2, 4, 4)
    assert evidence.foreground.min() >= 0
    assert evidence.foreground.sum(0).max() <= 1 + 1e-4
    torch.testing.assert_close(evidence.similarity, torch.zeros(2, 4, 4), rtol=0, atol=1e-2)


def test_wrong_calls_are_refused(network: XMem) -> None:
    core = InferenceCore(network, CONFIG, device=CPU)
    (frame,) = core.encode(video(1))
    with pytest.raises(ValueError, match="prediction or masks"):
        core.update(frame, None, {})
    with pytest.raises(ValueError, match="a mask is"):
        core.update(frame, None, {1: torch.zeros(3, 3)})
    core = InferenceCore(network, CONFIG, device=CPU)
    track(core, video(2), {0: {1: box(4)}})
    stale = core.predict(frame)
    core.update(frame, stale, {2: box(30)})
    with pytest.raises(ValueError, match="other objects"):
        core.update(frame, stale, {})
    with pytest.raises(ValueError, match="object 1 has neither"):
        core.update(frame, None, {2: box(30)})


def test_batched_encoding_is_one_by_one(network: XMem) -> None:
    core = InferenceCore(network, CONFIG, device=CPU)
    frames = video(4)
    for i, frame in enumerate(core.encode(frames)):
        (alone,) = core.encode(frames[i : i + 1])
        assert frame.size == SIZE
        torch.testing.assert_close(frame.features.key, alone.features.key, rtol=1e-3, atol=1e-3)
        assert torch.equal(frame.image, alone.image)


# As in an actor: OpenMP has one thread, torch was given two, and the call comes in another thread than the constructor did.
FRESH_THREAD = """
import ctypes, sys, threading, torch
from tam_dist.config import load_config
from tam_dist.models.xmem.config import SMALL
from tam_dist.models.xmem.inference import InferenceCore
from tam_dist.models.xmem.network import XMem

openmp, seen = ctypes.CDLL(sys.argv[1]), []

class Watched(XMem):
    def encode_key(self, images):
        seen.append(openmp.omp_get_max_threads())
        return super().encode_key(images)

torch.set_num_threads(2)
core = InferenceCore(Watched(SMALL).eval(), load_config([]).propagation, device=torch.device("cpu"))
thread = threading.Thread(target=core.encode, args=[torch.zeros(1, 40, 56, 3, dtype=torch.uint8)])
thread.start()
thread.join()
print(*seen)
"""


def test_a_new_thread_encodes_its_first_frame_with_all_of_torchs_threads() -> None:
    openmp = sorted((Path(torch.__file__).parent / "lib").glob("libgomp*"))
    if not openmp or not hasattr(ctypes.CDLL(str(openmp[0])), "omp_get_max_threads"):
        pytest.skip("this torch does not bring GNU's OpenMP")
    command = [sys.executable, "-c", FRESH_THREAD, str(openmp[0])]
    assert subprocess.check_output(["env", "OMP_NUM_THREADS=1", *command], text=True).split() == ["2"]
