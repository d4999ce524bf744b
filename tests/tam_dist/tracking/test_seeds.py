"""Sessions that start from the same references share what these give, and nobody can tell by their masks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tam_dist.models.xmem.inference import InferenceCore
from tam_dist.models.xmem.network import XMem
from tam_dist.tracking.passes import Pass
from tam_dist.tracking.seeds import SeededSessions
from tam_dist.tracking.session import Models, TrackingSession
from tam_dist.tracking.spec import SessionSpec, SessionStart
from tam_dist.types import Mask, Prompt, Reference, SegmentedMask
from tests.tam_dist.tracking.test_session import VIDEO, chunk, finish, prompt, spec, square

CAT_MASK, BIRD_MASK = square(8, 10), square(40, 4)
CAT, BIRD = prompt("cat", 2, Mask.from_array(CAT_MASK)), prompt("bird", 5, Mask.from_array(BIRD_MASK))
OF_CAT = Reference(2, VIDEO[2], (SegmentedMask(1, CAT_MASK, 1.0),))
OF_BIRD = Reference(5, VIDEO[5], (SegmentedMask(3, BIRD_MASK, 1.0),))


@pytest.fixture
def taken_in(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The objects of each reference that a session encodes."""
    found: list[tuple[int, ...]] = []
    refer = InferenceCore.refer

    def counted(self, frame, masks):  # type: ignore[no-untyped-def]
        found.append(tuple(masks))
        return refer(self, frame, masks)

    monkeypatch.setattr(InferenceCore, "refer", counted)
    return found


def asked(*prompts: Prompt) -> SessionSpec:
    """In segments of one chunk; the prompts lie in the first."""
    return replace(spec(*prompts), borders=(0, 1, 2), settings="s", weights="w")


def start(of: SessionSpec, number: int) -> SessionStart:
    return SessionStart(of, None, Pass(number, number + 1))


def masks(session: TrackingSession, number: int) -> np.ndarray:
    result = finish(session, session.step(chunk(number)))
    return np.concatenate([result.labels.ravel(), result.quality.ravel()])


def test_later_sessions_encode_no_reference_again_and_have_the_same_masks(
    network: XMem, taken_in: list[tuple[int, ...]]
) -> None:
    models, wanted, references = Models(network), asked(CAT, BIRD), [OF_CAT, OF_BIRD]
    alone = {number: masks(TrackingSession.begin(start(wanted, number), models, references), number) for number in (1, 2)}
    assert all((found[: found.size // 2] > 0).any() for found in alone.values())
    taken_in.clear()
    seeded = SeededSessions(models)
    for number in (1, 2, 1):
        session = seeded.begin("film", start(wanted, number), references)
        assert session.next_chunk == number
        assert np.array_equal(masks(session, number), alone[number], equal_nan=True)
    assert taken_in == [(1,), (3,)]


def test_other_references_objects_videos_and_settings_are_told_apart(network: XMem, taken_in: list[tuple[int, ...]]) -> None:
    seeded, wanted = SeededSessions(Models(network)), asked(CAT, BIRD)
    seeded.begin("film", start(wanted, 1), [OF_CAT, OF_BIRD])
    for video, other, references in (
        ("film", asked(CAT), [OF_CAT]),
        ("another", wanted, [OF_CAT, OF_BIRD]),
        ("film", replace(wanted, settings="t"), [OF_CAT, OF_BIRD]),
    ):
        taken_in.clear()
        seeded.begin(video, start(other, 1), references)
        assert len(taken_in) == len(references)


def test_a_session_behind_a_checkpoint_or_without_references_is_its_own(network: XMem) -> None:
    seeded, wanted = SeededSessions(Models(network)), asked(CAT)
    first = seeded.begin("film", start(wanted, 0), [])
    finish(first, first.step(chunk(0)))
    behind = seeded.begin("film", SessionStart(wanted, first.snapshot(), Pass(0, 1)), [])
    assert behind.next_chunk == 1
