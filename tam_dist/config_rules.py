"""What values a setting may have, and how the set of settings grew. Both are declared here once, by the setting's dotted name.

A new setting needs a line in ``BEFORE`` if its default changes what comes out: a project made before the setting existed is
continued with the value given there, so that its masks stay what they would have been.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: The least and the most that a number may be, both included.
RANGES: Mapping[str, tuple[float, float]] = {
    "propagation.short_side": (32, 8192),
    "propagation.key_batch": (1, 1024),
    "propagation.mem_every": (1, 1_000_000),
    "propagation.deep_update_every": (-1, 1_000_000),
    "propagation.top_k": (1, 100_000),
    "propagation.min_working_frames": (2, 10_000),
    "propagation.max_working_frames": (3, 10_000),
    "propagation.num_prototypes": (1, 1_000_000),
    "propagation.max_long_term_elements": (2, 100_000_000),
    "propagation.max_permanent_frames": (1, 100_000),
    "propagation.query_block": (1, 10_000_000),
    "segmentation.embedding_cache": (1, 10_000),
    "refinement.threshold": (0, 1),
    "refinement.release": (0, 1),
    "refinement.every": (1, 1_000_000),
    "refinement.max_share": (0, 1),
    "refinement.margin": (-1, 1),
    "refinement.presence_margin": (-1, 1),
    "refinement.return_margin": (-1, 1),
    "tracking.chunk_size": (1, 1024),
    "tracking.checkpoint_every": (1, 1_000_000),
    "tracking.keep_checkpoints": (1, 1_000_000),
    "tracking.keep_bytes": (-1, 2**60),
    "tracking.known_ahead": (0, 1024),
    "tracking.max_segment": (0, 2**31),
    "tracking.settled_frames": (0, 1_000_000),
    "credits.decoded_chunks": (1, 1024),
    "credits.writes": (1, 1024),
    "runtime.threads": (0, 1024),
    "cluster.propagators": (1, 100_000),
    "cluster.gpus_per_propagator": (0, 1024),
    "cluster.refiners": (1, 100_000),
    "cluster.gpus_per_refiner": (0, 1024),
    "cluster.decoders": (1, 100_000),
    "cluster.writers": (1, 100_000),
    "cluster.sessions_per_propagator": (1, 10_000),
    "cluster.max_deaths_per_chunk": (1, 10_000),
    "cluster.object_store_gb": (0, 65_536),
    "cluster.grow_seconds": (0, 1_000_000),
}
CHOICES: Mapping[str, tuple[str, ...]] = {
    "media.reader": ("auto", "decord", "pyav"),
    "media.on_damage": ("hold", "skip", "stop"),
    "refinement.mode": ("off", "on", "deferred"),
    "refinement.score": ("model", "confidence"),
    "tracking.direction": ("both", "forward"),
    "runtime.precision": ("auto", "fp32", "bf16", "fp16"),
    "runtime.encode_ahead": ("auto", "on", "off"),
}
#: Of settings newer than the first projects: the value with which everything is as it was before there was the setting.
BEFORE: Mapping[str, Any] = {
    "propagation.enlarge": False,
    "media.on_damage": "stop",
    "refinement.mode": "off",
    "refinement.score": "confidence",
    "refinement.presence": False,
    "refinement.threshold": 0.6,
    "refinement.release": 0.7,
    "refinement.every": 5,
    "refinement.at_cuts": False,
    "refinement.max_share": 0.25,
    "refinement.margin": 0.05,
    "refinement.presence_margin": 0.15,
    "refinement.return_margin": -1,
    "tracking.keep_bytes": -1,
    "tracking.direction": "forward",
    "tracking.known_ahead": 0,
    "tracking.segments": "whole",
    "runtime.precision": "fp32",
    "runtime.encode_ahead": "on",
    "tracking.max_segment": 3000,
    "tracking.settled_frames": 32,
}
#: Settings that there are no more, with the value that everything is still done by. Digests of a project's settings have them.
GONE: Mapping[str, Any] = {"runtime.autocast": "none"}
#: Settings, or whole sections, that decide the masks, given frames, prompts and weights.
DECIDING = (
    "propagation",
    "refinement",
    "media.on_damage",
    "tracking.chunk_size",
    "tracking.direction",
    "tracking.known_ahead",
    "tracking.segments",
    "tracking.max_segment",
    "runtime.threads",
    "runtime.precision",
    "runtime.encode_ahead",
    "runtime.deterministic",
)
#: Beside those, what a project was made with and a repeated command must agree on.
KEPT = ("models", "tracking.checkpoint_every", "tracking.keep_checkpoints", "tracking.settled_frames")


def within(name: str, names: tuple[str, ...]) -> bool:
    """Whether ``names`` has the setting or its section.

    >>> within("runtime.threads", DECIDING), within("runtime.device", DECIDING), within("propagation.top_k", DECIDING)
    (True, False, True)
    """
    return any(name == each or name.startswith(f"{each}.") for each in names)


def fault(name: str, value: Any) -> str | None:
    """What is wrong with the value of a setting, as a sentence; None where nothing is.

    >>> fault("runtime.threads", -1)
    'runtime.threads must be a number from 0 to 1024, not -1.'
    """
    if name == "tracking.segments" and not _is_segments(value):
        return f"{name} must be whole, shots or a number of chunks, not {shown(value)}."
    if name in CHOICES and value not in CHOICES[name]:
        return f"{name} must be one of {', '.join(CHOICES[name])}, not {shown(value)}."
    if name in RANGES:
        low, high = RANGES[name]
        if not low <= value <= high:  # not a number is not within either
            return f"{name} must be a number from {_plain(low)} to {_plain(high)}, not {shown(value)}."
    return None


def _is_segments(value: str) -> bool:
    return value in ("whole", "shots") or (value.isascii() and value.isdigit() and 0 < int(value) < 2**31)


def shown(value: Any) -> str:
    """``value`` for a message, not at any length."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _plain(number: float) -> str:
    return f"{number:.0f}" if number == int(number) else f"{number:g}"
