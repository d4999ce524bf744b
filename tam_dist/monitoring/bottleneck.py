"""Which kind of worker holds the others up, and what would help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tam_dist.coordination.calls import Role
from tam_dist.coordination.events import StageLoad

#: From this busy share on a stage is saturated.
SATURATED = 0.8

_STAGE = {
    Role.DECODER: "decoding",
    Role.PROPAGATOR: "tracking (XMem)",
    Role.REFINER: "refining (SAM)",
    Role.WRITER: "writing",
}
_REMEDY = {
    Role.DECODER: "raise cluster.decoders",
    Role.PROPAGATOR: "raise cluster.propagators, with a GPU for each",
    Role.REFINER: "raise cluster.refiners",
    Role.WRITER: "raise cluster.writers",
}


@dataclass(frozen=True)
class Bottleneck:
    """``role`` is None where no stage is saturated; ``sentence`` says it to people, with what would help."""

    role: Role | None
    sentence: str


def bottleneck(stages: Sequence[StageLoad]) -> Bottleneck:
    """The saturated stage with the highest busy share; the longer queue decides between equals.

    >>> bottleneck([StageLoad(Role.DECODER, 2, 0.95, 3, 10, 50), StageLoad(Role.PROPAGATOR, 1, 0.4, 0, 4, 50)]).sentence
    'The bottleneck is decoding (95 % busy, 3 calls wait): raise cluster.decoders.'
    """
    if not any(stage.calls for stage in stages):
        return Bottleneck(None, "Nothing has been worked on yet.")
    top = max(stages, key=lambda stage: (round(stage.busy, 2), stage.queued))
    share = f"{top.busy:.0%}".replace("%", " %")
    if top.busy < SATURATED:
        return Bottleneck(
            None,
            f"No stage is saturated (the busiest, {_STAGE[top.role]}, is {share} busy): "
            "more videos at once would use the workers better, raise cluster.sessions_per_propagator.",
        )
    wait = "1 call waits" if top.queued == 1 else f"{top.queued} calls wait"
    return Bottleneck(top.role, f"The bottleneck is {_STAGE[top.role]} ({share} busy, {wait}): {_REMEDY[top.role]}.")
