"""The mask that a correction would give, before it is one."""

from __future__ import annotations

import threading
import time
import uuid
from collections import OrderedDict
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tam_dist.config import Config, from_dict
from tam_dist.media.reader import open_video
from tam_dist.models.sam.opening import open_segmenter
from tam_dist.models.sam.rounds import certain_logits, segment_in_rounds
from tam_dist.models.sam.segmenter import SupportsSegment
from tam_dist.prompts import checked_name
from tam_dist.steering.asking import Asking, Where
from tam_dist.tracking.plan import PromptPlan
from tam_dist.types import Click, Clicks, FloatArray, Prompt, SegmentedMask, UInt8Array

#: Frames that are kept, for whoever goes back and forth between some.
_FRAMES = 8


class Previewer:
    """Asks the project's SAM from embeddings that it keeps, and changes nothing in the project. Any thread may ask; one is
    answered at a time. Close it, or use it as a context.

    ``segmenter`` is opened from the project's settings if None. Raises :class:`ProjectError`, :class:`VideoError`,
    :class:`WeightsError`, :class:`ResourceError`.
    """

    def __init__(self, where: Where, segmenter: SupportsSegment | None = None) -> None:
        self._where = where
        asking = Asking(where)
        self._reader = open_video(asking.video.uri)
        config: Config = from_dict(dict(asking.store.manifest.config))
        self._segmenter = open_segmenter(config) if segmenter is None else segmenter
        self._frames: OrderedDict[int, UInt8Array] = OrderedDict()
        self._turn = threading.Lock()

    def preview(self, frame: int, name: str, points: FloatArray, labels: NDArray[np.int64]) -> SegmentedMask:
        """The mask of object ``name`` in ``frame`` after clicks at ``points`` (float32 (P, 2), x and y in pixels of the
        source), 1 in ``labels`` (int64 (P,)) for those on the object and 0 for those beside it: together with what was given
        there before, and where nothing was, from the mask that is stored there. A new ``name`` is an object that is not
        tracked yet.

        Raises :class:`PromptError` for a frame or point outside the video.
        """
        asking = Asking(self._where)
        asking.check_frame(frame)
        known = next((o for o in asking.shown if o.name == name), None)
        inside = checked_name(name) if known is None else asking.name_in_log(name)
        clicks = tuple(Click(float(x), float(y), bool(on)) for (x, y), on in zip(points, labels, strict=True))
        new = Prompt(uuid.uuid4().hex, time.time(), "", frame, inside, Clicks(clicks))
        asking.check_prompts([new])
        given = [p for p in asking.prompts if p.frame == frame and p.object_name == inside and p.data.kind != "absent"]
        (asked,) = PromptPlan(asking.with_object(inside), [*given, new]).at(frame)
        stored = None if given else asking.stored_mask(inside, frame)
        query = asked.query(None if stored is None else certain_logits(stored))
        with self._turn:
            return segment_in_rounds(self._segmenter, self._picture(frame), query, frame)

    def close(self) -> None:
        """Let go of the video."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _picture(self, frame: int) -> UInt8Array:
        if frame not in self._frames:
            self._frames[frame] = self._reader.read(frame, frame + 1)[0]
            if len(self._frames) > _FRAMES:
                self._frames.popitem(last=False)
        self._frames.move_to_end(frame)
        return self._frames[frame]
