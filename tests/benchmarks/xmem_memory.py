"""Peak memory and time of reading XMem's memory once, blocked and sparse against the dense formula.

    python -m tests.benchmarks.xmem_memory [--size 1080x1920] [--objects 1] [--threads 1] [--blocks 512 4096]

Working and long-term memory are as full as the default settings let them become (random keys and values). Each way runs
in a process of its own; the peak is what the read added to the resident memory that holds the elements.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tam_dist.config import load_config
from tam_dist.models.xmem.matching import Query, Reading, similarity

KEY_DIM, VALUE_DIM = 64, 512


@dataclass(frozen=True)
class Problem:
    positions: int
    elements: int
    objects: int
    threads: int

    def tensors(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Query]:
        generator = torch.Generator().manual_seed(0)

        def normal(*shape: int) -> torch.Tensor:
            return torch.randn(shape, generator=generator)

        key, shrinkage = normal(self.elements, KEY_DIM), 1 + normal(self.elements).square()
        query = Query(normal(self.positions, KEY_DIM), torch.sigmoid(normal(self.positions, KEY_DIM)))
        return key, shrinkage, normal(self.elements, self.objects * VALUE_DIM), query


def read(problem: Problem, block: int | None) -> tuple[float, float, float]:
    """(MB added at the peak, seconds, sum of the readout). ``block`` None is the dense formula."""
    torch.set_num_threads(problem.threads)
    key, shrinkage, value, query = problem.tensors()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    if block is None:
        scores = similarity(key, shrinkage, query)
        top, index = scores.topk(30, dim=1)
        affinity = torch.zeros_like(scores).scatter_(1, index, torch.softmax(top, 1))
        usage, readout = affinity.sum(0), affinity @ value
    else:
        found = Reading(key, shrinkage, query, top_k=30, block=block).result()
        usage, readout = found.usage(len(key)), found.readout(value)
    assert len(usage) == problem.elements
    added = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return added / 1024, time.perf_counter() - start, readout.sum().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="1080x1920", help="height x width")
    parser.add_argument("--objects", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--blocks", type=int, nargs="+", default=[512, 1024, 4096])
    arguments = parser.parse_args()
    height, width = map(int, arguments.size.split("x"))
    config = load_config().propagation
    positions = -(-height // 16) * -(-width // 16)
    elements = (config.max_working_frames - 1) * positions + config.max_long_term_elements
    problem = Problem(positions, elements, arguments.objects, arguments.threads)
    print(f"{positions} positions, {elements} elements, {arguments.objects} objects")
    context = multiprocessing.get_context("spawn")
    for block in [*arguments.blocks, None]:
        with context.Pool(1) as pool:
            added, seconds, total = pool.apply(read, (problem, block))
        name = "dense" if block is None else f"blocks of {block}"
        print(f"{name:>16}: {added:7.0f} MB at the peak, {seconds:6.1f} s, readout sums to {total:.3f}", flush=True)


if __name__ == "__main__":
    main()
