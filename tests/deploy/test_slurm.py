"""The scripts on a real Slurm: submitted, stopped near the time limit, requeued, finished; an array, and what of it is left."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.actors.chaos import wait_until
from tests.deploy.clusters import BIN
from tests.deploy.files import DEPLOY
from tests.deploy.runs import labels, labels_so_far
from tests.deploy.slurm import Slurm, slurm

pytestmark = [pytest.mark.slow, pytest.mark.timeout(800)]
SCRIPTS = DEPLOY / "slurm"


@pytest.fixture
def cluster(tmp_path: Path, short_path: Path) -> Iterator[Slurm]:
    if not (BIN / "tam-dist").exists():
        pytest.skip("needs the command tam-dist beside Python; it is not installed")
    with slurm(short_path) as found:
        yield found


def submit(cluster: Slurm, script: str, *words: str, options: tuple[str, ...] = ()) -> str:
    return cluster.ask("sbatch", "--parsable", *options, str(SCRIPTS / script), *words).strip()


def test_near_its_time_limit_a_job_saves_and_goes_on_after_it_was_requeued(
    cluster: Slurm, corpus: Path, undisturbed: dict[str, str], tiny_settings: tuple[str, ...], tmp_path: Path
) -> None:
    out, log = tmp_path / "runs", tmp_path / "log"
    words = (str(corpus), "--out", str(out), *tiny_settings, "cluster.preset=cpu")
    job = submit(cluster, "submit.sh", *words, options=(f"--output={log}", "--ntasks-per-node=1"))
    wait_until(lambda: labels_so_far(out) > 0, 120, "the first chunk")
    # What Slurm itself does at that time; its clock counts in minutes.
    cluster.ask("scancel", "--signal=USR1", "--batch", job)
    wait_until(lambda: cluster.field(job, "Restarts") == "1", 90, "the requeueing")
    text = log.read_text()
    assert "stopping: the time limit is near" in text
    assert "Traceback" not in text
    before = labels_so_far(out)
    # Slurm lets two minutes pass first. To start it at once (StartTime=now) is to have the end of its first life, which is told
    # late, taken for that of the second.
    wait_until(lambda: cluster.field(job, "JobState") == "COMPLETED", 400, "the job's end")
    assert 0 < before < labels_so_far(out)
    assert labels(out) == undisturbed


def test_a_job_that_is_cancelled_saves_and_does_not_come_back(
    cluster: Slurm, corpus: Path, undisturbed: dict[str, str], tiny_settings: tuple[str, ...], tmp_path: Path
) -> None:
    out, log = tmp_path / "runs", tmp_path / "log"
    words = (str(corpus), "--out", str(out), *tiny_settings, "cluster.preset=cpu")
    job = submit(cluster, "submit.sh", *words, options=(f"--output={log}",))
    wait_until(lambda: labels_so_far(out) > 0, 120, "the first chunk")
    cluster.ask("scancel", "--signal=TERM", "--batch", job)
    wait_until(lambda: cluster.field(job, "JobState") not in ("RUNNING", "COMPLETING"), 120, "the job's end")
    assert cluster.field(job, "Restarts") == "0"
    assert "stopping: cancelled" in log.read_text()
    assert json.loads((out / "run.json").read_text())["ended"] is not None, "it had the time to write its report"


def test_a_corpus_in_parts_and_what_is_left_of_it(
    cluster: Slurm, corpus: Path, undisturbed: dict[str, str], tiny_settings: tuple[str, ...], tmp_path: Path
) -> None:
    out = tmp_path / "runs"
    broken = tmp_path / "corpus.jsonl"
    broken.write_text(corpus.read_text() + json.dumps({"video": str(tmp_path / "missing.mp4"), "prompts": []}) + "\n")
    options = ("--array=0-1", f"--output={tmp_path}/log-%a")
    words = (str(broken), "--out", str(out), *tiny_settings, "cluster.preset=cpu")
    job = submit(cluster, "submit_array.sh", *words, options=options)
    wait_until(lambda: not cluster.ask("squeue", "-h", "-j", job).strip(), 250, "the array's end")
    assert labels(out) == undisturbed, (tmp_path / "log-0").read_text() + (tmp_path / "log-1").read_text()
    assert {each.parent.name for each in out.glob("part-*/run.json")} == {"part-00000", "part-00001"}
    left = subprocess.run([str(SCRIPTS / "retry.sh"), str(out)], capture_output=True, text=True)
    assert left.returncode == 3
    assert left.stdout.startswith("part 1: 1 failed, see ")
    assert left.stdout.endswith("sbatch --array=1 … as before\n")
