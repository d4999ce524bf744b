"""The plain data that crosses module and process boundaries. Nothing here imports torch, Ray or zarr.

Frames are 0-based in presentation order; coordinates are pixels of the source video, x to the right, y down, from 0.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

UInt8Array = NDArray[np.uint8]
LabelArray = NDArray[np.uint8] | NDArray[np.uint16]
BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]


class Origin(IntEnum):
    """How the mask of one object in one frame came about."""

    UNTRACKED = 0
    PROMPTED = 1
    PROPAGATED = 2
    REFINED = 3
    CORRECTED = 4
    ABSENT = 5


# --- video -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video before its first frame is decoded.

    ``width`` and ``height`` are those of the frames handed out, after rotation. ``declared_frames`` is what the container
    claims where that is more than can be decoded (a file cut off in the middle), else None. ``fingerprint`` identifies
    the content cheaply: size and a hash of sampled blocks, or a remote object's etag. ``note`` is a sentence on what is odd
    about it, for whoever asked for it to be tracked; "" where nothing is.
    """

    uri: str
    frame_count: int
    width: int
    height: int
    fps: Fraction
    time_base: Fraction
    rotation: int
    fingerprint: str
    reader: str
    declared_frames: int | None = None
    has_audio: bool = False
    note: str = ""


@dataclass(frozen=True)
class FrameChunk:
    """Consecutive decoded frames: ``frames`` is uint8 (n, H, W, 3) RGB, possibly read-only; ``start`` is the first's number;
    ``cuts`` are the numbers of those that begin a new shot, and of the frame behind the last if that does (None: nobody
    looked); ``skipped`` those that are no pictures, since they could not be decoded, and are to be left out.
    """

    index: int
    start: int
    frames: UInt8Array
    cuts: tuple[int, ...] | None = None
    skipped: frozenset[int] = frozenset()

    @property
    def stop(self) -> int:
        return self.start + len(self.frames)


@dataclass(frozen=True, order=True)
class Cut:
    """``frame`` begins a new shot. ``strength`` is by how much it differs from the one before, 0..1."""

    frame: int
    strength: float


@dataclass(frozen=True)
class ShotScan:
    """What the frames ``start`` to ``stop`` (exclusive) say about a film's shots: its ``cuts`` there, should a picture have
    come before them; and the first ``picture`` there, None where all frames are black or white.
    """

    start: int
    stop: int
    cuts: tuple[Cut, ...]
    picture: int | None


def chunk_count(frame_count: int, chunk_size: int) -> int:
    """How many chunks a video has; the last may be shorter.

    >>> chunk_count(33, 16), chunk_count(32, 16), chunk_count(0, 16)
    (3, 2, 0)
    """
    return -(-frame_count // chunk_size)


# --- what people ask for ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Click:
    x: float
    y: float
    positive: bool = True


@dataclass(frozen=True)
class Clicks:
    """One or more clicks given together on one frame for one object."""

    points: tuple[Click, ...]
    kind: Literal["clicks"] = field(default="clicks", init=False)


@dataclass(frozen=True)
class Box:
    x0: float
    y0: float
    x1: float
    y1: float
    kind: Literal["box"] = field(default="box", init=False)


@dataclass(frozen=True)
class Mask:
    """A whole mask, kept as a 1-bit PNG of the source's size so that a prompt is small, hashable and self-contained."""

    png: bytes
    kind: Literal["mask"] = field(default="mask", init=False)

    @classmethod
    def from_array(cls, mask: BoolArray) -> Mask:
        """``mask``: bool (H, W)."""
        from PIL import Image

        buffer = io.BytesIO()
        Image.fromarray(np.asarray(mask, dtype=bool)).save(buffer, format="PNG")
        return cls(buffer.getvalue())

    def to_array(self) -> BoolArray:
        """bool (H, W)."""
        from PIL import Image

        with Image.open(io.BytesIO(self.png)) as image:
            return np.asarray(image.convert("1"), dtype=bool)


@dataclass(frozen=True)
class Absent:
    """The object is not in the picture in frames ``first`` to ``last``, both included."""

    first: int
    last: int
    kind: Literal["absent"] = field(default="absent", init=False)


PromptData = Clicks | Box | Mask | Absent
#: What a prompt is for: to track by, to correct what was tracked, or to keep a frame's masks as they are.
Purpose = Literal["prompt", "correction", "lock"]


@dataclass(frozen=True)
class Prompt:
    """One entry of a project's prompt log: the only record of what a person asked for.

    ``frame`` is the frame it was given on (for ``Absent``: its first). ``time`` is seconds since the epoch; it orders
    prompts on the same frame and never influences a mask otherwise. ``undone_by`` names the entry that took it back.
    ``group`` is the uuid of the action that it is a part of, "" where it is one by itself.
    """

    uuid: str
    time: float
    author: str
    frame: int
    object_name: str
    data: PromptData
    undone_by: str | None = None
    purpose: Purpose = "prompt"
    group: str = ""


@dataclass(frozen=True)
class TrackedObject:
    """``id`` counts from 1 in order of first mention and is the value in the label maps; ``colour`` is RGB 0..255."""

    id: int
    name: str
    colour: tuple[int, int, int]


@dataclass(frozen=True)
class Exemption:
    """In chunks ``first`` to ``stop`` (exclusive), these ``entries`` of the prompt log (uuids) do not count before chunk
    ``learn`` (None: not at all), from which on their masks are references. ``lifted``: they count there as in the log.
    """

    entries: tuple[str, ...]
    first: int
    stop: int
    learn: int | None = None
    lifted: bool = False


@dataclass(frozen=True)
class Edition:
    """One line of a project's track record: from here on these ``entries`` of the prompt log count too, but for all
    ``exemptions`` so far, of which the last that concerns an entry in a chunk decides. ``why`` it was made, in a word;
    ``time`` is seconds since the epoch.

    The masks are a function of video, prompt log, track record, weights and settings.
    """

    number: int
    entries: tuple[str, ...] = ()
    exemptions: tuple[Exemption, ...] = ()
    why: str = ""
    time: float = 0.0


# --- asking the segmentation model -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class ObjectQuery:
    """What SAM is asked about one object on one frame.

    ``points`` float32 (P, 2) x, y; ``point_labels`` int64 (P,), 1 positive, 0 negative; ``box`` float32 (4,) x0 y0 x1 y1 or
    None; ``mask_logits`` float32 (h, w), the predicted mask's logits over the whole frame at any resolution (the segmenter
    lays them out as SAM expects), or an earlier answer's :attr:`SegmentedMask.logits` as they are, or None. ``corrects``: the
    points say where that mask is wrong, and what they do not touch stays.
    """

    object_id: int
    points: FloatArray
    point_labels: NDArray[np.int64]
    box: FloatArray | None = None
    mask_logits: FloatArray | None = None
    corrects: bool = False


@dataclass(frozen=True, eq=False)
class SegmentationRequest:
    """A frame on which propagation must wait for the segmentation model."""

    frame: int
    queries: tuple[ObjectQuery, ...]


@dataclass(frozen=True, eq=False)
class SegmentedMask:
    """SAM's answer: ``mask`` bool (H, W) at the source's size, ``score`` its predicted IoU 0..1, ``logits`` float32 (S, S),
    SAM's own low-resolution logits of the mask (to be handed back as a mask prompt in a next round), or None.
    """

    object_id: int
    mask: BoolArray
    score: float
    logits: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class Reference:
    """A frame with masks of some objects that a person gave: ``image`` uint8 (H, W, 3) and masks at the source's size."""

    frame: int
    image: UInt8Array
    masks: tuple[SegmentedMask, ...]


# --- what tracking gives back ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Basis:
    """What a chunk's masks were made from, as SHA-256 (hex) of the ``prompts`` in force up to its end, the ``weights``, and
    the ``settings`` that decide masks; ``fill``: of what each backward pass that came by started from, in that order, with
    "+" between, "" where none did; ``locks``: of masks that were put in as they are, "" without. Masks on another basis than
    that of today are stale.
    """

    prompts: str
    weights: str
    settings: str
    fill: str = ""
    locks: str = ""

    @property
    def fills(self) -> tuple[str, ...]:
        return tuple(self.fill.split("+")) if self.fill else ()

    def after(self, passes: int) -> Basis:
        """That of the masks when so many backward passes had come by; 0: of the forward pass's alone.

        >>> Basis("p", "w", "s", "a+b").after(1).fill
        'a'
        """
        return replace(self, fill="+".join(self.fills[:passes]))

    def made(self, stored: Basis) -> int:
        """How many of the passes that make masks on this basis have made those on the ``stored`` one; 0: not even the first.

        >>> wanted = Basis("p", "w", "s", "a+b")
        >>> [wanted.made(each) for each in (Basis("q", "w", "s"), wanted.after(0), wanted.after(1), wanted)]
        [0, 1, 2, 3]
        """
        made = len(stored.fills)
        return 1 + made if self.after(made) == stored else 0


@dataclass(frozen=True)
class Fusion:
    """Objects tracked backwards from the correction on frame ``anchor``: by id, the frame of the mark before that, between
    which two their masks are fused with those tracked forwards.
    """

    anchor: int
    since: Mapping[int, int]


@dataclass(frozen=True, eq=False)
class ChunkResult:
    """The masks of one whole chunk, as they are stored.

    ``labels`` uint8 or uint16 (n, H, W), 0 background, else the object's id; ``quality`` float32 (n, K) in 0..1, NaN = not
    tracked; ``origin`` uint8 (n, K) of :class:`Origin`; column k belongs to object id k + 1. ``prompts`` are the uuids
    applied in this chunk; ``basis`` is what the chunk's masks are made from in the end, None where nobody asks, as of
    ``edition`` of the project's track record; these here are what the pass number ``layer`` of those that make them found.
    ``fusion``: of masks that are to be fused with those there are. ``cuts``: the frames that begin a shot, None where nobody
    looked.
    """

    index: int
    start: int
    labels: LabelArray
    quality: FloatArray
    origin: UInt8Array
    prompts: tuple[str, ...] = ()
    basis: Basis | None = None
    cuts: tuple[int, ...] | None = None
    edition: int = 0
    layer: int = 0
    fusion: Fusion | None = None


@dataclass(frozen=True, eq=False)
class EncodedLabels:
    """A chunk's labels as they are stored: ``shard`` is the bytes, ``digest`` that of the labels themselves, ``highest`` the
    largest id among them; ``dtype`` (as NumPy spells it, ``|u1``) and ``shape`` (n, H, W) tell what was encoded.
    """

    shard: bytes
    digest: str
    highest: int
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class StepResult:
    """Outcome of one call into a tracking session: exactly one of ``chunk`` (the chunk is finished) and ``requests`` (it waits
    for the segmentation model; ``resume`` continues it with a tuple of answers for each) is set. ``checkpoint`` is the
    serialised state after the chunk, where one is due.
    """

    chunk: ChunkResult | None = None
    requests: tuple[SegmentationRequest, ...] = ()
    checkpoint: bytes | None = None
