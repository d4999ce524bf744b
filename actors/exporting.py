"""Exports of a run's projects spread over a Ray cluster. Projects and targets must lie where every node finds them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import ray
from ray.exceptions import RayError

from actors.connection import connect
from tam_dist.config import load_config
from tam_dist.export.many import ExportJob, JobResult, Runner, export_one


def on_ray(address: str | None) -> Runner:
    """Runs jobs as tasks of the cluster at ``address``, one a core; a job whose node is lost is tried again: a cut-off export
    leaves nothing behind.
    """

    def run(jobs: Sequence[ExportJob]) -> Iterator[JobResult]:
        connect(load_config([]), address=address)
        task = ray.remote(num_cpus=1, max_retries=2)(export_one)
        waiting = {task.remote(job): job for job in jobs}
        while waiting:
            ready, _ = ray.wait(list(waiting))
            for reference in ready:
                job = waiting.pop(reference)
                try:
                    yield ray.get(reference)
                except RayError as error:
                    yield JobResult(job.name, reason=f"Its task was lost on the cluster: {str(error).splitlines()[0]}.")

    return run
