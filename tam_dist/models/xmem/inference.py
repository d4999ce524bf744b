"""XMem on one video: which frames are segmented, remembered and how (paper section 3; official evaluation's cadence).

Per frame: :meth:`InferenceCore.predict` reads memory and decodes masks and changes nothing;
:meth:`InferenceCore.update` takes the prediction, with masks given by a person or by SAM where there are some, and moves
on by a frame. Between the two a session may wait for SAM as long as it likes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tam_dist.config import PropagationConfig
from tam_dist.models.precision import Precision
from tam_dist.models.xmem.frames import EncodedFrame, Padding
from tam_dist.models.xmem.matching import Reading
from tam_dist.models.xmem.memory import GroupMemory, Match, MemoryFrame
from tam_dist.models.xmem.network import XMem, aggregate, normalise
from tam_dist.models.xmem.prediction import MatchEvidence, PendingState, Prediction

__all__ = ["EncodedFrame", "InferenceCore", "MatchEvidence", "Prediction"]

#: A pixel belongs to a given mask from this value on: predictions of other objects give way there.
_COVERED = 0.5
#: Side of what one memory element covers, in pixels.
_CELL = 16


@dataclass(frozen=True)
class _Due:
    """What happens on a frame: it enters memory; the hidden state is updated from its value (deep), by the decoder, or not."""

    memory: bool
    deep_update: bool
    decoder_update: bool


@dataclass(frozen=True, eq=False)
class _Foreseen:
    """Readings of the groups' memories for a frame, begun before its turn."""

    frame: EncodedFrame
    readings: Mapping[GroupMemory, Reading]


@dataclass(eq=False)
class _Group:
    """Objects introduced in the same frame."""

    objects: list[int]
    memory: GroupMemory


class InferenceCore:
    """The state of one video. Frames come in order; every method but ``update``, ``skip``, ``remove_object`` and ``restore``
    leaves the state as it is.
    """

    def __init__(
        self, network: XMem, config: PropagationConfig, *, device: torch.device, precision: Precision = Precision.FP32
    ) -> None:
        self._network = network
        self._config = config
        self._device = device
        self._precision = precision
        self._groups: list[_Group] = []
        self._hidden: Tensor | None = None  # (1, n, Ch, h, w), all groups' objects in order
        self._time = -1
        self._last_memory = 0
        self._last_deep = -config.deep_update_every
        self._foreseen: _Foreseen | None = None

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The objects being tracked, in order of introduction, those of one frame by id."""
        return tuple(i for group in self._groups for i in group.objects)

    @property
    def memory_sizes(self) -> tuple[tuple[int, int, int], ...]:
        """For each group, elements in long-term, working and permanent memory."""
        return tuple(group.memory.sizes for group in self._groups)

    # --- frames --------------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def encode(self, frames: Tensor) -> list[EncodedFrame]:
        """uint8 (b, h, w, 3) RGB. What depends on pixels alone is computed for all frames together.

        Except on a CPU, where a batch of four takes a third longer than four frames: its features leave the caches and
        come in fresh pages each time.
        """
        # A new thread takes over torch's number of threads when it asks for it, or at its first large operator; until then it
        # has OpenMP's, which is one in Ray's actors. A small video's first convolution ran with that, and rounded otherwise.
        torch.get_num_threads()
        padding = Padding.to_multiple(frames.shape[1], frames.shape[2], self._network.stride)
        together = 1 if self._device.type == "cpu" else len(frames)
        encoded: list[EncodedFrame] = []
        for start in range(0, len(frames), together):
            batch = frames[start : start + together]
            images = self._precision.lay_out_frames(padding.pad(normalise(batch.to(self._device))))
            with self._precision.autocast(self._device):
                features = self._network.encode_key(images)
            encoded.extend(EncodedFrame(images[i : i + 1], features.frame(i), padding) for i in range(len(batch)))
        return encoded

    @torch.inference_mode()
    def foresee(self, frame: EncodedFrame, wanted: Callable[[], bool]) -> None:
        """Read memory for the frame after the one under way, in another thread than that one's, as long as it is ``wanted``.

        :meth:`predict` goes on from there, with the same result. Nothing is read where the frame under way enters memory: what
        memory holds now is not what the next one is matched with.
        """
        if self._due(self._time + 1, supplied=False, end=False).memory:
            return
        key, selection = frame.features.key[0], frame.features.selection[0]
        readings = {group.memory: group.memory.read(key, selection) for group in tuple(self._groups) if group.memory.written}
        self._foreseen = _Foreseen(frame, readings)
        for reading in readings.values():
            reading.work(wanted)

    @torch.inference_mode()
    def predict(
        self, frame: EncodedFrame, *, prompted: bool = False, end: bool = False, absent: frozenset[int] = frozenset()
    ) -> Prediction:
        """Masks of the tracked objects in the next frame; those in ``absent`` are left out of it.

        ``prompted`` says that ``update`` will be given masks (the frame then enters memory); ``end`` that no frame follows.
        """
        if self._hidden is None:
            raise RuntimeError("no object is tracked yet")
        features = frame.features
        foreseen, self._foreseen = self._foreseen, None
        begun = foreseen.readings if foreseen is not None and foreseen.frame is frame else {}
        key, selection = features.key[0], features.selection[0]
        matches = tuple(g.memory.match(key, selection, begun.get(g.memory)) for g in self._groups)
        readout = torch.cat([m.readout for m in matches]).unsqueeze(0)
        due = self._due(self._time + 1, supplied=prompted, end=end)
        with self._precision.autocast(self._device):  # not distances of keys, which need all of float32's digits
            hidden, raw = self._network.raw_logits(features, readout, self._hidden, due.decoder_update)
        independent = torch.sigmoid(raw[0])
        ids = self.object_ids
        independent[[row for row, i in enumerate(ids) if i in absent]] = 0
        logits, probabilities = aggregate(independent)
        crop = frame.padding.crop
        pending = PendingState(probabilities, independent, hidden, matches)
        return Prediction(ids, crop(probabilities), crop(logits), self._evidence(matches), pending)

    @torch.inference_mode()
    def update(
        self,
        frame: EncodedFrame,
        prediction: Prediction | None,
        masks: Mapping[int, Tensor],
        *,
        end: bool = False,
        permanent: bool = True,
        absent: frozenset[int] = frozenset(),
    ) -> Tensor:
        """Settle the frame's masks, remember it where that is due, and move on. Returns float32 (n+1, h, w) probabilities.

        ``masks``: float or bool (h, w) by object id, new ids included. They take the place of the prediction, and objects
        without one give way to them. The frame then enters memory at once: the permanent memory of each group that has an
        object among them, or its working memory where it is the group's first frame or the masks are not ``permanent`` (the
        segmentation model's own idea rather than a person's). ``prediction`` may be None where ``masks`` has all tracked
        objects; it is disregarded there, as official XMem does not predict such a frame at all. (Official evaluation passes
        all valid labels with a mask and so never predicts such a frame; its interactive tool passes none, and does.)

        ``absent`` objects, which the prediction must be without, learn nothing from the frame and start with a blank hidden
        state when they are back.

        Raises ValueError where the prediction or the masks do not fit the frame or the objects tracked.
        """
        if prediction is not None and prediction.object_ids != self.object_ids:
            raise ValueError("the prediction is of other objects than those tracked now")
        self._time += 1
        due = self._due(self._time, supplied=bool(masks), end=end)
        if masks and set(self.object_ids) <= set(masks):
            prediction = None
        if prediction is not None:
            self._commit(prediction.pending, due, absent)
        if masks:
            probabilities = self._merge(frame, prediction, masks)
            self._introduce(sorted(set(masks) - set(self.object_ids)), frame)
        elif prediction is not None:
            probabilities = prediction.pending.probabilities
        else:
            raise ValueError("a frame needs a prediction or masks")
        if due.memory:
            given = frozenset(masks) if permanent else frozenset()
            # Without a deep update the hidden state stays, but for a mask that it carries.
            self._hidden = self._remember(frame, probabilities, given, absent, deep_update=due.deep_update).contiguous()
            self._last_memory = self._time
            if due.deep_update:
                self._last_deep = self._time
        self._blank(absent)
        return frame.padding.crop(probabilities)

    def step(self, frame: EncodedFrame, masks: Mapping[int, Tensor] | None = None, *, end: bool = False) -> Tensor:
        """``predict`` where it is needed, then ``update``: one call of official XMem."""
        masks = masks or {}
        known = set(self.object_ids)
        needed = bool(known) and not known <= set(masks)
        prediction = self.predict(frame, prompted=bool(masks), end=end) if needed else None
        return self.update(frame, prediction, masks, end=end)

    @torch.inference_mode()
    def recall(
        self, frame: EncodedFrame, prediction: Prediction, masks: Mapping[int, Tensor], absent: frozenset[int] = frozenset()
    ) -> Tensor:
        """Remember an earlier frame anew, with better ``masks`` (h, w) of some objects than its ``prediction`` had.

        Nothing else changes: time, cadence and hidden state are those of the newest frame. Returns float32 (n+1, h, w).
        """
        if prediction.object_ids != self.object_ids:
            raise ValueError("the prediction is of other objects than those tracked now")
        probabilities = self._merge(frame, prediction, masks)
        self._remember(frame, probabilities, frozenset(), absent, deep_update=False)
        return frame.padding.crop(probabilities)

    @torch.inference_mode()
    def refer(self, frame: EncodedFrame, masks: Mapping[int, Tensor]) -> Tensor:
        """Remember a frame from elsewhere in the video, before the first one is tracked: ``masks`` (h, w) by object id are a
        person's, and nothing is known of the other objects in it. Returns float32 (n+1, h, w), as :meth:`update`.

        An object's first reference introduces it, with those that share it; further ones enter permanent memory. No time
        passes. Raises ValueError without masks.
        """
        if not masks:
            raise ValueError("a reference needs masks")
        self._introduce(sorted(set(masks) - set(self.object_ids)), frame)
        unknown = frozenset(self.object_ids) - set(masks)
        given = {i: frame.padding.pad(self._checked(mask, frame)) for i, mask in masks.items()}
        blank = torch.zeros_like(next(iter(given.values())))
        probabilities = aggregate(torch.stack([given.get(i, blank) for i in self.object_ids]))[1]
        self._remember(frame, probabilities, frozenset(masks), unknown, deep_update=False)
        return frame.padding.crop(probabilities)

    def skip(self) -> None:
        """Let a frame pass unseen; it counts in the cadence."""
        self._time += 1

    @torch.inference_mode()
    def remove_object(self, object_id: int) -> None:
        """Stop tracking an object and forget it. Raises KeyError where it is not tracked."""
        if object_id not in self.object_ids:
            raise KeyError(object_id)
        assert self._hidden is not None
        kept = [row for row, i in enumerate(self.object_ids) if i != object_id]
        self._hidden = self._hidden[:, kept].contiguous() if kept else None
        for group in self._groups:
            if object_id in group.objects:
                group.memory.remove_object(group.objects.index(object_id))
                group.objects.remove(object_id)
        self._groups = [group for group in self._groups if group.objects]

    # --- one frame -----------------------------------------------------------------------------------------------------

    def _due(self, time: int, *, supplied: bool, end: bool) -> _Due:
        config = self._config
        in_sync = config.deep_update_every < 0
        memory = (time - self._last_memory >= config.mem_every or supplied) and not end
        deep = (memory if in_sync else time - self._last_deep >= config.deep_update_every) and not end
        return _Due(memory, deep_update=memory and deep, decoder_update=not end and not (in_sync and deep))

    def _commit(self, pending: PendingState, due: _Due, absent: frozenset[int]) -> None:
        if due.decoder_update:
            self._hidden = pending.hidden.contiguous()
        for group, matched in zip(self._groups, pending.matches, strict=True):
            if not absent.issuperset(group.objects):
                group.memory.count(matched)

    def _blank(self, absent: frozenset[int]) -> None:
        rows = [row for row, i in enumerate(self.object_ids) if i in absent]
        if rows:
            assert self._hidden is not None
            self._hidden = self._hidden.clone()
            self._hidden[:, rows] = 0

    def _merge(self, frame: EncodedFrame, prediction: Prediction | None, masks: Mapping[int, Tensor]) -> Tensor:
        """Padded probabilities (n+1, H, W) of all objects, new ones last, with given masks in the place of predictions."""
        given = {i: frame.padding.pad(self._checked(mask, frame)) for i, mask in masks.items()}
        covered = torch.stack(list(given.values())).sum(0) > _COVERED
        rows = []
        for row, object_id in enumerate(self.object_ids, start=1):
            if object_id in given:
                rows.append(given[object_id])
            elif prediction is not None:
                rows.append(prediction.pending.probabilities[row].masked_fill(covered, 0))
            else:
                raise ValueError(f"object {object_id} has neither a mask nor a prediction")
        rows.extend(given[i] for i in sorted(given) if i not in self.object_ids)
        return aggregate(torch.stack(rows))[1]

    def _checked(self, mask: Tensor, frame: EncodedFrame) -> Tensor:
        if tuple(mask.shape) != frame.size:
            raise ValueError(f"a mask is {tuple(mask.shape)}, the frame {frame.size}")
        return mask.to(self._device, torch.float32)

    def _introduce(self, new: list[int], frame: EncodedFrame) -> None:
        if not new:
            return
        self._groups.append(_Group(new, GroupMemory(self._config)))
        key = frame.features.key
        blank = key.new_zeros(1, len(new), self._network.config.hidden_dim, *key.shape[-2:])
        self._hidden = blank if self._hidden is None else torch.cat([self._hidden, blank], 1)

    def _remember(
        self,
        frame: EncodedFrame,
        probabilities: Tensor,
        given: frozenset[int],
        absent: frozenset[int],
        *,
        deep_update: bool,
    ) -> Tensor:
        """Write the frame to the groups' memories. Returns the hidden state that its value gives."""
        assert self._hidden is not None
        features, objects = frame.features, probabilities[1:]
        with self._precision.autocast(self._device):
            value, hidden = self._network.encode_value(frame.image, features, self._hidden, objects.unsqueeze(0), deep_update)
        coverage = F.avg_pool2d(objects, _CELL)
        start = 0
        for group in self._groups:
            rows = slice(start, start + len(group.objects))
            start = rows.stop
            if absent.issuperset(group.objects):
                continue
            written = MemoryFrame(
                features.key[0],
                features.shrinkage[0],
                features.selection[0],
                value[0, rows],
                coverage[rows],
                frozenset(n for n, i in enumerate(group.objects) if i in absent),
            )
            # A frame prompted for another group holds mere predictions of this one: no reason to trust it for good.
            group.memory.write(written, permanent=not given.isdisjoint(group.objects))
        return hidden

    def _evidence(self, matches: tuple[Match, ...]) -> MatchEvidence:
        similarity = [m.best.expand_as(m.coverage) for m in matches]
        return MatchEvidence(torch.cat([m.coverage for m in matches]), torch.cat(similarity))

    # --- state ---------------------------------------------------------------------------------------------------------

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything, as named tensors and JSON, valid between any two frames."""
        tensors: dict[str, Tensor] = {} if self._hidden is None else {"hidden": self._hidden}
        groups = []
        for number, group in enumerate(self._groups):
            parts, scalars = group.memory.state()
            tensors.update({f"group{number}.{name}": tensor for name, tensor in parts.items()})
            groups.append({"objects": list(group.objects), "memory": scalars})
        clock = {"time": self._time, "last_memory": self._last_memory, "last_deep": self._last_deep}
        return tensors, {"clock": clock, "groups": groups}

    def restore(self, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        """Continue where :meth:`state` was taken, with the same bits on the same kind of device.

        Tensors are copied: what a library hands out of a file's bytes need not be aligned in memory as torch's own are,
        and matrix products may round differently with the alignment.
        """
        own = {name: tensor.to(self._device, copy=True) for name, tensor in tensors.items()}
        self._hidden = own.get("hidden")
        self._groups = []
        for number, group in enumerate(meta["groups"]):
            prefix = f"group{number}."
            parts = {name.removeprefix(prefix): t for name, t in own.items() if name.startswith(prefix)}
            memory = GroupMemory.restore(self._config, parts, group["memory"])
            self._groups.append(_Group(list(group["objects"]), memory))
        clock = meta["clock"]
        self._time, self._last_memory, self._last_deep = clock["time"], clock["last_memory"], clock["last_deep"]
