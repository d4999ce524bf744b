from __future__ import annotations

import subprocess
import sys

import pytest

from tam_dist.config import load_config
from tam_dist.errors import ResourceError
from tam_dist.models.runtime import configure_torch

# In a process of its own: what is freed there must be the next block's memory again, without a page fault.
FAULTS = """
import resource, torch
from tam_dist.config import load_config
from tam_dist.models.runtime import configure_torch
configure_torch(load_config(["runtime.device=cpu", "runtime.threads=4"]).runtime)
for _ in range(20):
    torch.ones(8 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(8 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, torch.get_num_threads())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is meant")
def test_freed_memory_is_kept_and_threads_are_shared_out() -> None:
    faults, threads = subprocess.check_output([sys.executable, "-c", FAULTS], text=True).split()
    assert int(faults) < 80_000  # of 20 blocks with 8,192 pages each
    assert threads == "2"


@pytest.mark.parametrize("device", ["abacus", "cuda:99"])
def test_a_device_that_is_not_there_is_named(device: str) -> None:
    with pytest.raises(ResourceError, match=f"runtime.device={device}"):
        configure_torch(load_config([f"runtime.device={device}"]).runtime)
