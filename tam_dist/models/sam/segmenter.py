"""SAM as the rest of tam-dist uses it: a frame and what is asked about it, to masks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from tam_dist.config import SegmentationConfig
from tam_dist.models.precision import Precision
from tam_dist.models.sam.build import ResizeLongestSide, Sam
from tam_dist.models.sam.lite_encoder import LiteImageEncoder
from tam_dist.models.sam.lite_prompts import draw_hints
from tam_dist.models.sam.prompts import Geometry, encode_query
from tam_dist.types import ObjectQuery, SegmentedMask, UInt8Array


class SupportsSegment(Protocol):
    """What answers queries about frames: :class:`Segmenter`, or one that builds on it."""

    def segment(
        self, frame: UInt8Array, queries: Sequence[ObjectQuery], *, frame_key: Hashable | None = None
    ) -> list[SegmentedMask]: ...


class Segmenter:
    """Answers queries about frames; the image embeddings of the last few frames are kept for further rounds.

    Each query is decoded by itself and each frame embedded by itself, so that an answer depends on nothing but the frame
    and the query: not on what is cached, nor on what else is asked.
    """

    def __init__(
        self,
        sam: Sam,
        config: SegmentationConfig,
        device: torch.device | str = "cpu",
        precision: Precision = Precision.FP32,
    ) -> None:
        """``precision`` concerns the image encoder alone: SAM's decoder is small, and its answers are compared with
        thresholds."""
        self._device = torch.device(device)
        self._sam = sam.to(self._device).eval()
        self._precision = precision
        self._capacity = config.embedding_cache
        self._embeddings: OrderedDict[Hashable, Tensor] = OrderedDict()

    @property
    def mask_side(self) -> int:
        """Side of SAM's low-resolution logits and mask prompts."""
        return int(self._sam.prompt_encoder.mask_input_size[0])

    def segment(
        self, frame: UInt8Array, queries: Sequence[ObjectQuery], *, frame_key: Hashable | None = None
    ) -> list[SegmentedMask]:
        """One mask per query, in order.

        ``frame``: uint8 (H, W, 3) RGB. ``frame_key`` names the frame's content: a frame asked about again under its key is
        not embedded again; None keeps nothing. A single click alone is ambiguous, and the best of three masks by predicted
        IoU answers it; anything more is answered by SAM's single mask, which is trained for it. The small SAM answers
        everything with its single mask: measured on held-out images its choice among three after one click is 5 points of
        IoU worse (``tests/benchmarks/sam_policies.py``). Raises :class:`PromptError` for a query that asks nothing.
        """
        height, width = frame.shape[:2]
        geometry = Geometry.of((height, width), self._sam.image_encoder.img_size)
        with torch.inference_mode():
            embedding = self._embedding(frame, frame_key)
            return [self._answer(embedding, query, geometry) for query in queries]

    def _embedding(self, frame: UInt8Array, key: Hashable | None) -> Tensor:
        if key is None:
            return self._embed(frame)
        if key not in self._embeddings:
            self._embeddings[key] = self._embed(frame)
            if len(self._embeddings) > self._capacity:
                self._embeddings.popitem(last=False)
        self._embeddings.move_to_end(key)
        return self._embeddings[key]

    def _embed(self, frame: UInt8Array) -> Tensor:
        resized = ResizeLongestSide(self._sam.image_encoder.img_size).apply_image(np.asarray(frame))
        pixels = torch.from_numpy(resized).to(self._device).permute(2, 0, 1)[None].float()
        with self._precision.autocast(self._device):
            embedding: Tensor = self._sam.image_encoder(self._sam.preprocess(pixels))
        return embedding.float()

    def _answer(self, embedding: Tensor, query: ObjectQuery, geometry: Geometry) -> SegmentedMask:
        asked = encode_query(query, geometry, self.mask_side, self._device)
        masks = asked.masks
        small = isinstance(self._sam.image_encoder, LiteImageEncoder)
        if small:
            masks = draw_hints(asked.points, asked.boxes, masks, self.mask_side)
        sparse, dense = self._sam.prompt_encoder(points=asked.points, boxes=asked.boxes, masks=masks)
        logits, ious = self._sam.mask_decoder(
            image_embeddings=embedding,
            image_pe=self._sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=asked.ambiguous and not small,
        )
        best = int(ious[0].argmax())
        chosen = logits[:, best : best + 1]
        full = self._sam.postprocess_masks(chosen, geometry.inside, geometry.frame)
        return SegmentedMask(
            object_id=query.object_id,
            mask=(full[0, 0] > self._sam.mask_threshold).cpu().numpy(),
            score=float(ious[0, best].clamp(0, 1)),
            logits=chosen[0, 0].float().cpu().numpy(),
        )
