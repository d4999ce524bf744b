"""Commit records and what counts as committed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from storage.commits import CommitLog, CommitRecord, labels_digest
from storage.location import Location
from tam_dist.errors import SchemaError

RECORD = CommitRecord(42, 3, "ab", "cd", 2, None, ("u1", "u2"), 1.5)


def test_a_record_round_trips_under_its_documented_name(project: Location) -> None:
    log = CommitLog(project)
    assert log.get(42) is None
    log.put(RECORD)
    assert (project / "commits").children() == ["00000042.json"]
    assert CommitLog(project).get(42) == RECORD
    assert log.committed() == {42}


def test_a_chunk_being_rewritten_does_not_count(project: Location) -> None:
    log = CommitLog(project)
    log.put(RECORD)
    log.put(replace(RECORD, chunk=7))
    log.begin_rewrite(42)
    assert (log.committed(), log.rewriting()) == ({7}, {42})
    assert log.get(42) == RECORD
    for _ in range(2):
        log.end_rewrite(42)
    assert log.committed() == {7, 42}


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"prompts": [], "more": 1}'])
def test_a_damaged_record_is_named(project: Location, content: bytes) -> None:
    (project / "commits" / "00000042.json").write(content)
    with pytest.raises(SchemaError, match=r"00000042\.json is damaged: run tam-dist resume"):
        CommitLog(project).get(42)


def test_same_content_ignores_when_and_how_often() -> None:
    assert RECORD.same_content(replace(RECORD, revision=9, time=0))
    for change in ({"digest": "x"}, {"scores": "x"}, {"prompts": ()}, {"checkpoint": "x"}, {"chunk": 1}, {"objects": 3}):
        assert not RECORD.same_content(replace(RECORD, **change))


def test_the_digest_sees_dtype_shape_and_every_pixel() -> None:
    labels = np.zeros((2, 3, 4), np.uint8)
    changed = labels.copy()
    changed[1, 2, 3] = 1
    others = [changed, labels.astype(np.uint16), labels.reshape(2, 4, 3), labels[:1]]
    assert len({labels_digest(a) for a in (labels, *others)}) == 5
    wide = np.zeros((2, 3, 8), np.uint8)
    assert labels_digest(wide[:, :, ::2]) == labels_digest(labels)  # memory layout does not matter
