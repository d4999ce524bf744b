"""Writes the golden vectors of this folder: ``python -m tests.golden.make``.

Small videos of moving textures, tracked by ``reference.py`` with the random weights of ``weights.py`` in tiny widths. The
names in the files are those of the vectors made by the official code (see ``test_reference.py``), so that one set of tests
reads both. Probabilities are kept for every third row and column, as float16 (to within 5e-4).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.golden import reference as r
from tests.golden.weights import TINY, make_weights

HERE = Path(__file__).parent
STRIDE = 3
OFFICIAL = {
    "mem_every": 3,
    "deep_update_every": -1,
    "enable_long_term": False,
    "enable_long_term_count_usage": False,
    "max_mid_term_frames": 4,
    "min_mid_term_frames": 2,
    "num_prototypes": 8,
    "max_long_term_elements": 28,
    "top_k": 30,
}
#: What each video is about: size, length, options, and for each frame with masks, the objects given and all that exist.
CASES: dict[str, tuple[tuple[int, int], int, dict[str, Any], dict[int, tuple[list[int], int]]]] = {
    "case1": ((80, 96), 9, {}, {0: ([1], 1)}),
    "case2": ((75, 91), 11, {}, {0: ([1, 2], 2), 8: ([3], 3)}),  # padded on all sides; an object enters
    "case3": ((80, 96), 20, {"mem_every": 2, "enable_long_term": True, "enable_long_term_count_usage": True}, {0: ([1, 2], 2)}),
    "case5": ((80, 96), 17, {"mem_every": 4, "deep_update_every": 3}, {0: ([1, 2], 2), 9: ([1], 2), 15: ([1, 2], 2)}),
}


def clip(frames: int, size: tuple[int, int], seed: int) -> np.ndarray:
    """uint8 (T, H, W, 3): coarse textures that move past each other."""
    height, width = size
    texture = np.random.default_rng(seed).integers(0, 256, (2, height // 4 + 2 * frames, width // 4 + 2 * frames, 3))
    pictures = []
    for t in range(frames):
        coarse = (texture[i, t : t + height // 4 + 1, (i + 1) * t :][:, : width // 4 + 1] for i in (0, 1))
        far, near = (np.kron(part, np.ones((4, 4, 1)))[:height, :width] for part in coarse)
        picture, inside = far * 0.5, masks(t, size, 3).any(0)
        picture[inside] = 127 + near[inside] * 0.5
        pictures.append(picture.astype(np.uint8))
    return np.stack(pictures)


def masks(t: int, size: tuple[int, int], count: int) -> np.ndarray:
    """bool (count, H, W): rectangles that drift in their own directions."""
    out = np.zeros((count, *size), bool)
    for i in range(count):
        y, x = 4 + 24 * i + (t if i % 2 else -t // 2) % 12, 6 + 28 * i + (2 * t if i != 1 else -t) % 10
        out[i, y : y + 24, x : x + 26] = ~out[:i, y : y + 24, x : x + 26].any(0)
    return out


def make_case(name: str, weights: r.Weights) -> dict[str, Any]:
    size, length, options, events = CASES[name]
    options = OFFICIAL | options
    images, tracker = clip(length, size, seed=len(name) + sum(events)), r.Tracker(weights, options)
    most = max(count for _, count in events.values())
    probs = np.full((length, most, *size), np.nan, np.float32)
    labels, sizes, data = [], [], {}
    for t in range(length):
        valid, mask = None, None
        if t in events:
            valid, count = events[t]
            mask = masks(t, size, count) & np.isin(np.arange(count) + 1, valid)[:, None, None]
            data[f"mask_{t:05d}"] = mask.astype(np.uint8)
        given = None if mask is None else torch.from_numpy(mask).float()
        out = tracker.step(torch.from_numpy(images[t]), given, valid, end=t == length - 1)
        probs[t, : len(out) - 1] = out[1:]
        labels.append(out.argmax(0).numpy().astype(np.uint8))
        sizes.append(tracker.memory.sizes)
    between = np.nanmean((probs > 0.05) & (probs < 0.95))
    cover = np.bincount(np.stack(labels).ravel(), minlength=most + 1) / np.stack(labels).size
    print(
        f"{name}: {between:.0%} of the probabilities lie in 0.05..0.95; the labels cover {', '.join(f'{c:.0%}' for c in cover)}"
    )
    work, long = tracker.memory.work, tracker.memory.long
    assert work is not None
    assert tracker.hidden is not None
    data |= {"images": images, "probs": probs[:, :, ::STRIDE, ::STRIDE].astype(np.float16), "labels": np.stack(labels)}
    data |= {"hidden_last": tracker.hidden[None], "mem_sizes": np.array(sizes, np.int32), "end_on_last": np.array(True)}
    for kind, store in (("work", work), ("long", long)):
        if store is not None:
            data |= {f"{kind}_{part}_last": getattr(store, part)[None] for part in ("key", "shrinkage", "use", "life")}
    if long is not None:
        data["long_value_mean_last"] = long.values[0].mean(1)
    spoken = {t: {"valid_labels": valid, "all_labels": list(range(1, count + 1))} for t, (valid, count) in events.items()}
    return data | {"config": json.dumps(options), "mask_events": json.dumps(spoken), "stride": np.array(STRIDE)}


@torch.inference_mode()
def make_units(w: r.Weights) -> dict[str, Any]:
    """Single calls on three frames, 20 cells each."""
    size, generator = (64, 80), np.random.default_rng(4)
    images = clip(3, size, seed=9)
    frames = [r.encode_key(w, (torch.from_numpy(i).permute(2, 0, 1).float() / 255 - r.MEAN)[None] / r.STD) for i in images]
    grid = (4, 5)
    soft = (
        np.round(np.clip(masks(0, size, 3) * 0.8 + generator.random((3, 4, 5)).repeat(16, 1).repeat(16, 2) * 0.2, 0, 1) * 64)
        / 64
    )
    masks3 = torch.from_numpy(soft).float()
    hidden = torch.from_numpy(generator.standard_normal((3, TINY.hidden, *grid))).float() * 0.5
    value_1, hidden_1 = r.encode_value(w, frames[0], torch.zeros_like(hidden[:1]), masks3[:1], True)
    value_0, hidden_0 = r.encode_value(w, frames[0], hidden, masks3, True)
    value_later, _ = r.encode_value(w, frames[1], hidden, masks3, False)
    key, shrinkage = (torch.cat([getattr(f, name) for f in frames[:2]], 1) for name in ("key", "shrinkage"))
    scores = r.similarity(key, shrinkage, frames[2].key, frames[2].selection)
    top = r.top_softmax(scores, 30)
    readout = (torch.cat([value_0.flatten(2), value_later.flatten(2)], 2) @ top).unflatten(2, grid)
    seg_hidden, raw = r.decode(w, frames[2], readout, hidden, True)
    logits = r.aggregate(torch.sigmoid(raw))
    agg_in = torch.from_numpy(generator.random((3, 4, 5))).float()
    agg_in[0, 0, 0], agg_in[1, 0, 1], agg_in[:, 0, 2] = 0, 1, 0
    data: dict[str, Any] = {"images": images, "masks3": masks3.half(), "hidden_in": hidden[None]}
    data |= {"value_1obj": value_1[None], "hidden_out_1obj": hidden_1[None], "value_3obj_0": value_0[None]}
    data |= {"hidden_out_3obj": hidden_0[None], "value_3obj_1": value_later[None], "readout": readout[None]}
    data |= {"f16_0": frames[0].f16.half(), "f8_0_every4ch": frames[0].f8[:, ::4].half()}
    data["f4_0_every4ch"] = frames[0].f4[:, ::4].half()
    for i, f in enumerate(frames):
        data |= {f"{name}_{i}": getattr(f, name).unflatten(1, grid)[None] for name in ("key", "shrinkage", "selection")}
    data |= {"similarity": scores[None], "affinity_top30": top[None], "usage_top30": top.sum(1)[None]}
    data["similarity_no_shrinkage"] = r.similarity(key, torch.ones_like(shrinkage), frames[2].key, frames[2].selection)[None]
    data["similarity_no_selection"] = r.similarity(key, shrinkage, frames[2].key, None)[None]
    data["affinity_full"] = torch.softmax(scores, 0)[None]
    data |= {"seg_hidden": seg_hidden[None], "seg_logits": logits[None].half(), "seg_prob": torch.softmax(logits, 0)[None]}
    return data | {"agg_in": agg_in, "agg_logits": r.aggregate(agg_in), "agg_prob": torch.softmax(r.aggregate(agg_in), 0)}


def make_memory() -> dict[str, Any]:
    """The memory alone, on random keys; with long-term memory, then as two groups without."""
    options = {"top_k": 5, "enable_long_term": True, "enable_long_term_count_usage": True, "max_mid_term_frames": 4}
    options |= {"min_mid_term_frames": 2, "num_prototypes": 4, "max_long_term_elements": 14}
    generator = np.random.default_rng(6)

    def normal(*shape: int) -> torch.Tensor:
        return torch.from_numpy(generator.standard_normal(shape)).float()

    # The scale keeps similarities within reach of each other, so that usage is spread over elements and nothing ties.
    key, shrinkage = normal(24, 16, 6) * 0.7, 1 + 0.3 * normal(24, 1, 6).square()
    selection, value = torch.sigmoid(normal(24, 16, 6)), normal(24, 2, 8, 6)
    memory, readouts, sizes = r.Memory(options), [], []
    for t in range(24):
        if t:
            readouts.append(memory.read(key[t], selection[t]))
        memory.add(key[t], shrinkage[t], selection[t], [value[t]])
        sizes.append(memory.sizes)
    grouped = r.Memory(options | {"enable_long_term": False})
    data: dict[str, Any] = {"config": json.dumps(options), "mem_sizes": np.array(sizes)}
    for t in range(8):
        if t:
            data[f"groups_readout_{t}"] = grouped.read(key[t], selection[t]).unflatten(2, (2, 3))
        grouped.add(key[t], shrinkage[t], selection[t], [value[t, :1]] if t < 3 else [value[t, :1], value[t, 1:]])
    for name, tensor in (("key", key), ("shrinkage", shrinkage), ("selection", selection), ("value", value)):
        data[name] = tensor.unflatten(-1, (2, 3))
    data["readout"] = torch.stack(readouts).unflatten(-1, (2, 3))
    for kind, store in (("work", memory.work), ("long", memory.long)):
        assert store is not None
        data |= {f"{kind}_{part}": getattr(store, part)[None] for part in ("key", "shrinkage", "use", "life")}
        data[f"{kind}_value"] = store.values[0]
    return data


def main() -> None:
    torch.set_num_threads(1)
    weights = make_weights(TINY)
    for name in CASES:
        np.savez_compressed(HERE / f"{name}.npz", **make_case(name, weights))
    np.savez_compressed(HERE / "case4_units.npz", **make_units(weights))
    np.savez_compressed(HERE / "case6_memory_only.npz", **make_memory())
    print(f"{sum(path.stat().st_size for path in HERE.glob('*.npz')) / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
