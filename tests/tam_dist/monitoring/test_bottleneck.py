"""Which stage holds the others up."""

from __future__ import annotations

import pytest

from tam_dist.coordination.calls import Role
from tam_dist.coordination.events import StageLoad
from tam_dist.monitoring.bottleneck import bottleneck


def loads(decoder: float = 0.0, propagator: float = 0.0, refiner: float = 0.0, writer: float = 0.0) -> list[StageLoad]:
    shares = {Role.DECODER: decoder, Role.PROPAGATOR: propagator, Role.REFINER: refiner, Role.WRITER: writer}
    return [StageLoad(role, 1, busy, 0, 10.0, 10) for role, busy in shares.items()]


@pytest.mark.parametrize("role", list(Role))
def test_the_saturated_stage_is_the_bottleneck(role: Role) -> None:
    found = bottleneck(loads(**{role.value: 0.97, ("writer" if role is not Role.WRITER else "decoder"): 0.5}))
    assert found.role is role
    assert f"cluster.{role}s" in found.sentence
    assert "97 %" in found.sentence


def test_without_a_saturated_stage_there_is_none() -> None:
    found = bottleneck(loads(propagator=0.6, refiner=0.4))  # one video that alternates between XMem and SAM
    assert found.role is None
    assert "sessions_per_propagator" in found.sentence


def test_the_queue_decides_between_equals() -> None:
    one = StageLoad(Role.DECODER, 1, 0.991, 4, 1.0, 1)
    other = StageLoad(Role.PROPAGATOR, 1, 0.993, 0, 1.0, 1)
    assert bottleneck([one, other]).role is Role.DECODER
    assert bottleneck([]).role is None
