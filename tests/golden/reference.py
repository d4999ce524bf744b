"""XMem's official behaviour once more: a plain restatement to check the library against, which imports nothing of it.

Written from the paper (Cheng and Schwing 2022) and a description of the released code, one frame at a time, dense matrices,
no batching, no care for speed or memory. ``tests/golden/make.py`` writes the vectors of this folder with it, and
``test_reference.py`` holds it against vectors made by the official code where they are at hand: there it agrees to about
1e-5. Its known faults are kept (ties in eviction, groups that share keys), the softmax apart, which subtracts the maximum.

Weights are a state dict of an official checkpoint's names. Shapes: n objects, (H, W) padded, (h, w) = (H/16, W/16).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = dict[str, Tensor]


# --- layers ------------------------------------------------------------------------------------------------------------


def conv(w: Weights, name: str, x: Tensor, stride: int = 1) -> Tensor:
    kernel = w[f"{name}.weight"]
    return F.conv2d(x, kernel, w.get(f"{name}.bias"), stride, kernel.shape[-1] // 2)


def norm(w: Weights, name: str, x: Tensor) -> Tensor:
    return F.batch_norm(x, *(w[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")), eps=1e-5)


def residual_stage(w: Weights, name: str, x: Tensor, blocks: int, stride: int) -> Tensor:
    """ResNet-50 bottlenecks or ResNet-18 basic blocks, told apart by whether there is a third convolution."""
    for number in range(blocks):
        block, step = f"{name}.{number}", stride if number == 0 else 1
        skip = norm(w, f"{block}.downsample.1", conv(w, f"{block}.downsample.0", x, step)) if step_changes(w, block) else x
        if f"{block}.conv3.weight" in w:
            y = F.relu(norm(w, f"{block}.bn1", conv(w, f"{block}.conv1", x)))
            y = F.relu(norm(w, f"{block}.bn2", conv(w, f"{block}.conv2", y, step)))
            y = norm(w, f"{block}.bn3", conv(w, f"{block}.conv3", y))
        else:
            y = F.relu(norm(w, f"{block}.bn1", conv(w, f"{block}.conv1", x, step)))
            y = norm(w, f"{block}.bn2", conv(w, f"{block}.conv2", y))
        x = F.relu(y + skip)
    return x


def step_changes(w: Weights, block: str) -> bool:
    return f"{block}.downsample.0.weight" in w


def group_residual(w: Weights, name: str, x: Tensor) -> Tensor:
    y = conv(w, f"{name}.conv2", F.relu(conv(w, f"{name}.conv1", F.relu(x))))
    return y + (conv(w, f"{name}.downsample", x) if f"{name}.downsample.weight" in w else x)


def cbam(w: Weights, name: str, x: Tensor) -> Tensor:
    def mlp(v: Tensor) -> Tensor:
        a, b = f"{name}.ChannelGate.mlp.1", f"{name}.ChannelGate.mlp.3"
        return F.linear(F.relu(F.linear(v, w[f"{a}.weight"], w[f"{a}.bias"])), w[f"{b}.weight"], w[f"{b}.bias"])

    x = x * torch.sigmoid(mlp(x.mean((2, 3))) + mlp(x.amax((2, 3))))[:, :, None, None]
    summary = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
    return x * torch.sigmoid(conv(w, f"{name}.SpatialGate.spatial.conv", summary))


def fuse(w: Weights, name: str, frame: Tensor, own: Tensor) -> Tensor:
    g = group_residual(w, f"{name}.block1", torch.cat([frame.expand(len(own), -1, -1, -1), own], 1))
    return group_residual(w, f"{name}.block2", g + cbam(w, f"{name}.attention", g))


def recur(w: Weights, name: str, x: Tensor, hidden: Tensor) -> Tensor:
    forget, update, new = conv(w, f"{name}.transform", torch.cat([x, hidden], 1)).chunk(3, 1)
    return torch.sigmoid(forget) * hidden * (1 - torch.sigmoid(update)) + torch.sigmoid(update) * torch.tanh(new)


# --- network -----------------------------------------------------------------------------------------------------------


@dataclass
class Frame:
    """``image`` (1, 3, H, W); features (1, C, ·, ·) at strides 16, 8, 4; key and selection (Ck, h·w), shrinkage (1, h·w)."""

    image: Tensor
    f16: Tensor
    f8: Tensor
    f4: Tensor
    key: Tensor
    shrinkage: Tensor
    selection: Tensor


def encode_key(w: Weights, image: Tensor) -> Frame:
    x = F.max_pool2d(F.relu(norm(w, "key_encoder.bn1", conv(w, "key_encoder.conv1", image, 2))), 3, 2, 1)
    f4 = residual_stage(w, "key_encoder.res2", x, 3, 1)
    f8 = residual_stage(w, "key_encoder.layer2", f4, 4, 2)
    f16 = residual_stage(w, "key_encoder.layer3", f8, 6, 2)
    key, shrinkage, selection = (conv(w, f"key_proj.{name}", f16)[0].flatten(1) for name in ("key_proj", "d_proj", "e_proj"))
    return Frame(image, f16, f8, f4, key, shrinkage**2 + 1, torch.sigmoid(selection))


def encode_value(w: Weights, frame: Frame, hidden: Tensor, masks: Tensor, deep: bool) -> tuple[Tensor, Tensor]:
    """``hidden`` (n, Ch, h, w), ``masks`` (n, H, W) soft, to value (n, Cv, h, w) and hidden."""
    others = masks.sum(0, keepdim=True) - masks
    x = torch.cat([frame.image.expand(len(masks), -1, -1, -1), masks[:, None], others[:, None]], 1)
    x = F.relu(F.max_pool2d(norm(w, "value_encoder.bn1", conv(w, "value_encoder.conv1", x, 2)), 3, 2, 1))
    for number, stride in ((1, 1), (2, 2), (3, 2)):
        x = residual_stage(w, f"value_encoder.layer{number}", x, 2, stride)
    value = fuse(w, "value_encoder.fuser", frame.f16, x)
    return value, recur(w, "value_encoder.hidden_reinforce", value, hidden) if deep else hidden


def decode(w: Weights, frame: Frame, readout: Tensor, hidden: Tensor, update: bool) -> tuple[Tensor, Tensor]:
    """``readout`` (n, Cv, h, w) to hidden and logits (n, H, W), each object for itself."""
    g16 = fuse(w, "decoder.fuser", frame.f16, torch.cat([readout, hidden], 1))
    g = g16
    levels = [g16]
    for name, skip in (("up_16_8", frame.f8), ("up_8_4", frame.f4)):
        larger = F.interpolate(g, scale_factor=2, mode="bilinear", align_corners=False)
        g = group_residual(w, f"decoder.{name}.out_conv", conv(w, f"decoder.{name}.skip_conv", skip) + larger)
        levels.append(g)
    logits = conv(w, "decoder.pred", F.relu(g))
    if update:
        levels[2] = torch.cat([g, logits], 1)
        pooled = [levels[0], F.avg_pool2d(levels[1], 2), F.avg_pool2d(levels[2], 4)]
        names = ("g16_conv", "g8_conv", "g4_conv")
        merged = sum(conv(w, f"decoder.hidden_update.{n}", x) for n, x in zip(names, pooled, strict=True))
        assert isinstance(merged, Tensor)
        hidden = recur(w, "decoder.hidden_update", merged, hidden)
    return hidden, F.interpolate(logits, scale_factor=4, mode="bilinear", align_corners=False)[:, 0]


def aggregate(p: Tensor) -> Tensor:
    """(n, H, W) to logits (n+1, H, W), whose softmax are the probabilities, background first."""
    p = torch.cat([torch.prod(1 - p, 0, keepdim=True), p]).clamp(1e-7, 1 - 1e-7)
    return torch.log(p / (1 - p))


# --- memory ------------------------------------------------------------------------------------------------------------


def similarity(key: Tensor, shrinkage: Tensor, query: Tensor, selection: Tensor | None) -> Tensor:
    """(Ck, N), (1, N), (Ck, Q), (Ck, Q) to (N, Q)."""
    if selection is None:
        scores = 2 * key.T @ query - key.square().sum(0)[:, None]
    else:
        scores = -(key.square().T @ selection - 2 * key.T @ (query * selection) + (selection * query.square()).sum(0))
    return scores * shrinkage.T / key.shape[0] ** 0.5


def top_softmax(scores: Tensor, k: int) -> Tensor:
    best, rows = scores.topk(k, dim=0)
    return torch.zeros_like(scores).scatter(0, rows, torch.softmax(best, 0))


@dataclass
class Store:
    """N elements: ``key``, ``selection`` (Ck, N), ``shrinkage``, ``use``, ``life`` (1, N). ``values``, (n, Cv, N') a group, in
    which later groups have fewer elements, the last N' of the store.
    """

    key: Tensor
    shrinkage: Tensor
    selection: Tensor
    use: Tensor
    life: Tensor
    values: list[Tensor]

    @classmethod
    def of(cls, key: Tensor, shrinkage: Tensor, selection: Tensor, values: list[Tensor]) -> Store:
        return cls(key, shrinkage, selection, torch.zeros_like(shrinkage), torch.full_like(shrinkage, 1e-7), values)

    def __len__(self) -> int:
        return self.key.shape[1]

    def take(self, rows: Tensor) -> Store:
        """Of a store with one group."""
        parts = (t[:, rows] for t in (self.key, self.shrinkage, self.selection, self.use, self.life))
        return Store(*parts, [self.values[0][:, :, rows]])

    def append(self, other: Store) -> None:
        for name in ("key", "shrinkage", "selection", "use", "life"):
            setattr(self, name, torch.cat([getattr(self, name), getattr(other, name)], 1))
        grown = [torch.cat([a, b], 2) for a, b in zip(self.values, other.values, strict=False)]
        self.values = grown + other.values[len(grown) :]


@dataclass
class Memory:
    """Working and long-term memory; ``options`` under the names of the official configuration."""

    options: dict[str, Any]
    work: Store | None = None
    long: Store | None = None

    @property
    def sizes(self) -> tuple[int, int]:
        return len(self.work or ()), len(self.long or ())

    def read(self, query: Tensor, selection: Tensor) -> Tensor:
        """(Ck, Q) queries to the readout (n, Cv, Q) of all objects; counts usage."""
        assert self.work is not None
        stores = [self.long, self.work] if self.long is not None else [self.work]
        key, shrinkage = (torch.cat([getattr(s, name) for s in stores], 1) for name in ("key", "shrinkage"))
        scores = similarity(key, shrinkage, query, selection)
        readouts = []
        for number, value in enumerate(self.work.values):
            if number == 0 and self.long is not None:
                value = torch.cat([self.long.values[0], value], 2)
            affinity = top_softmax(scores[-value.shape[2] :], self.options["top_k"])
            readouts.append(value @ affinity)
            if number == 0 and self.options["enable_long_term"]:
                self._count(affinity.sum(1)[None])
        return torch.cat(readouts)

    def _count(self, usage: Tensor) -> None:
        assert self.work is not None
        border = usage.shape[1] - len(self.work)
        self.work.use, self.work.life = self.work.use + usage[:, border:], self.work.life + 1
        if self.long is not None and self.options["enable_long_term_count_usage"]:
            self.long.use, self.long.life = self.long.use + usage[:, :border], self.long.life + 1

    def add(self, key: Tensor, shrinkage: Tensor, selection: Tensor, values: list[Tensor]) -> None:
        """One frame; ``values``, (n, Cv, Q) a group, new groups last."""
        new, cells = Store.of(key, shrinkage, selection, values), key.shape[1]
        if self.work is None:
            self.work = new
        else:
            self.work.append(new)
        o = self.options
        if o["enable_long_term"] and len(self.work) >= o["max_mid_term_frames"] * cells:
            room = o["max_long_term_elements"] - o["num_prototypes"]
            if self.long is not None and len(self.long) >= room:
                usage = (self.long.use / self.long.life)[0]
                border = usage.sort().values[len(self.long) - room - 1]
                self.long = self.long.take(usage > border)
            self._consolidate(self.work, cells)

    def _consolidate(self, work: Store, cells: int) -> None:
        """All but the first frame and the newest become prototypes: the most used keys, with values read at them."""
        rows = torch.arange(len(work))
        chosen = (rows >= cells) & (rows < len(work) - (self.options["min_mid_term_frames"] - 1) * cells)
        candidates = work.take(chosen)
        top = (candidates.use / candidates.life)[0].topk(self.options["num_prototypes"]).indices
        key, selection = candidates.key[:, top], candidates.selection[:, top]
        affinity = torch.softmax(similarity(candidates.key, candidates.shrinkage, key, selection), 0)
        prototypes = Store.of(key, candidates.shrinkage @ affinity, selection, [candidates.values[0] @ affinity])
        if self.long is None:
            self.long = prototypes
        else:
            self.long.append(prototypes)
        self.work = work.take(~chosen)


# --- the loop over frames ----------------------------------------------------------------------------------------------

MEAN, STD = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


class Tracker:
    """A video from its first frame on."""

    def __init__(self, weights: Weights, options: dict[str, Any]) -> None:
        self.w, self.options, self.memory = weights, options, Memory(options)
        self.hidden: Tensor | None = None  # (n, Ch, h, w)
        self.groups: list[int] = []  # how many objects each has
        self.time, self.last_memory, self.last_deep = -1, 0, -options["deep_update_every"]

    @torch.inference_mode()
    def step(self, rgb: Tensor, mask: Tensor | None = None, valid: Sequence[int] | None = None, *, end: bool = False) -> Tensor:
        """``rgb`` uint8 (H0, W0, 3); ``mask`` float (all objects, H0, W0), of which ``valid`` (from 1) are given. Returns
        probabilities (n+1, H0, W0).
        """
        self.time += 1
        o = self.options
        tall, wide = (-rgb.shape[0]) % 16, (-rgb.shape[1]) % 16
        border = (wide // 2, wide - wide // 2, tall // 2, tall - tall // 2)
        frame = encode_key(self.w, F.pad((rgb.permute(2, 0, 1).float() / 255 - MEAN) / STD, border)[None])
        grid = frame.f16.shape[-2:]

        memory = (self.time - self.last_memory >= o["mem_every"] or mask is not None) and not end
        in_sync = o["deep_update_every"] < 0
        deep = (memory if in_sync else self.time - self.last_deep >= o["deep_update_every"]) and not end
        known = sum(self.groups)
        probabilities = None
        if self.time > 0 and (valid is None or mask is None or len(valid) < len(mask)):
            readout = self.memory.read(frame.key, frame.selection).unflatten(2, grid)
            assert self.hidden is not None
            self.hidden, logits = decode(self.w, frame, readout, self.hidden, not end and not (in_sync and deep))
            probabilities = torch.softmax(aggregate(torch.sigmoid(logits)), 0)
        if mask is not None and valid is not None:
            mask = F.pad(mask, border)
            if probabilities is not None:
                kept = probabilities[1:].masked_fill(mask.sum(0) > 0.5, 0)
                mask = torch.stack([mask[i] if i + 1 in valid else kept[i] for i in range(len(mask))])
            probabilities = torch.softmax(aggregate(mask), 0)
            if len(mask) > known:
                width = self.w["decoder.hidden_update.transform.weight"].shape[0] // 3
                blank = torch.zeros(len(mask) - known, width, *grid)
                self.hidden = blank if self.hidden is None else torch.cat([self.hidden, blank])
                self.groups.append(len(mask) - known)
        assert probabilities is not None
        if memory:
            assert self.hidden is not None
            value, self.hidden = encode_value(self.w, frame, self.hidden, probabilities[1:], deep)
            self.memory.add(frame.key, frame.shrinkage, frame.selection, list(value.flatten(2).split(self.groups)))
            self.last_memory = self.time
            self.last_deep = self.time if deep else self.last_deep
        height, width = probabilities.shape[1:]
        return probabilities[:, border[2] : height - border[3], border[0] : width - border[1]]
