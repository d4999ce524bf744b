"""A corpus through Ray's workers: the same masks, the same report, the same failures as in one process."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import ray

import tam_dist
from actors.coordinator import NAMESPACE, find_coordinator
from tam_dist.api import ExecutorName
from tam_dist.config import load_config
from tam_dist.corpus.lines import read_corpus
from tam_dist.corpus.run import run_corpus
from tam_dist.monitoring.status import look
from tam_dist.preparation import settle
from tests.tiny import moving_square, write_frames

PROMPTS = [{"object": "cat", "frame": 0, "clicks": [[12, 18, 1]]}]


def test_a_corpus_on_ray(cluster: None, settings: tuple[str, ...], tmp_path: Path, request: pytest.FixtureRequest) -> None:
    request.addfinalizer(lambda: (found := find_coordinator(NAMESPACE)) and ray.kill(found))
    config = settle(load_config(settings))
    for number, frames in enumerate((24, 9, 17)):
        write_frames(tmp_path / str(number), moving_square(frames, seed=number))
    (tmp_path / "3").mkdir()
    corpus = tmp_path / "c.jsonl"
    corpus.write_text("".join(json.dumps({"video": str(n), "prompts": PROMPTS}) + "\n" for n in range(5)))
    executors: tuple[ExecutorName, ...] = ("ray", "inline")
    for executor in executors:
        result = run_corpus(read_corpus(str(corpus)), str(tmp_path / executor), config, executor)
        assert (result.done, [failed.name for failed in result.failed], result.frames) == (3, ["3", "4"], 50)
    for name in "012":
        here, there = (tam_dist.Project.open(tmp_path / executor / name) for executor in executors)
        assert np.array_equal(here.labels[:], there.labels[:])
    stages = {stage.role.value: stage.calls for stage in look(str(tmp_path / "ray")).report.stages}  # type: ignore[union-attr]
    assert stages["propagator"] >= 3 + 7  # a session each, and the chunks
    again = run_corpus(read_corpus(str(corpus)), str(tmp_path / "ray"), config, "ray")
    assert (again.done, again.already, again.frames) == (0, 3, 0)
