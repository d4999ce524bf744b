"""A replay finds every mask that is not what log and record say, and changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tam_dist
from storage.project_store import ProjectStore
from tam_dist.cli import run
from tam_dist.errors import ProjectError
from tam_dist.replay import differing_chunks
from tam_dist.types import ChunkResult
from tests.steered import correction
from tests.tiny import square

Settings = tuple[str, ...]


def test_a_replay_tells_the_chunks_that_are_not_what_was_asked_for(
    tiny_video: Path, tiny_settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "p"
    done = tam_dist.track(tiny_video, [tam_dist.mask("cat", square(4, 10))], out=out, settings=tiny_settings)
    ProjectStore.open(out, write=False).append_prompt(correction(tam_dist.mask("cat", square(30, 20), frame=25)))
    with pytest.raises(ProjectError, match="is not done"):
        differing_chunks(str(out))
    done = tam_dist.resume(out)
    assert differing_chunks(str(out)) == ()
    with ProjectStore.open(out, write=True) as store:
        rows = slice(8, 16)
        labels = np.asarray(store.labels[rows]).copy()
        labels[3, :5, :5] = 1 - labels[3, :5, :5]
        record = store.record(1)
        assert record is not None
        changed = ChunkResult(1, 8, labels, store.quality[rows], store.origin[rows], record.prompts)
        store.amend(replace(changed, basis=record.basis))
    assert differing_chunks(str(out)) == (1,)
    assert run(["verify", str(out), "--replay"]) == 1
    assert "other masks    chunks 1" in capsys.readouterr().out
    assert done.status.state == "done"
