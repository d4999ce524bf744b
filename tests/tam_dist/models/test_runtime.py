from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from tam_dist.config import load_config
from tam_dist.errors import ResourceError
from tam_dist.models.runtime import configure_torch, encodes_ahead, operator_threads

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

# Weights and states come from files and other processes: where in memory they lie must decide nothing.
PLACES = """
import tam_dist, torch

def placed(tensor, at):
    room = torch.empty(tensor.numel() + at)[at:].view(tensor.shape)
    return room.copy_(tensor)

torch.manual_seed(0)
for rows, inner, columns in ((1, 64, 64), (1, 64, 4), (3, 33, 31), (5, 256, 128), (1, 405, 112)):
    a, b, bias = torch.randn(rows, inner), torch.randn(columns, inner), torch.randn(columns)
    for threads in (1, 2):
        torch.set_num_threads(threads)
        want = torch.nn.functional.linear(a, b, bias)
        for at in range(16):
            found = torch.nn.functional.linear(placed(a, at), placed(b, at), placed(bias, at))
            assert torch.equal(found, want), (rows, inner, columns, threads, at)
"""


def test_products_do_not_depend_on_where_their_operands_lie() -> None:
    subprocess.run([sys.executable, "-c", PLACES], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is meant")
def test_freed_memory_is_kept_and_threads_are_shared_out() -> None:
    faults, threads = subprocess.check_output([sys.executable, "-c", FAULTS], text=True).split()
    assert int(faults) < 80_000  # of 20 blocks with 8,192 pages each
    assert threads == "2"


@pytest.mark.parametrize(
    ("threads", "ahead", "found"), [(1, "on", 1), (2, "on", 1), (3, "on", 1), (8, "on", 4), (8, "auto", 4), (8, "off", 8)]
)
def test_operators_get_the_threads_that_encoding_ahead_leaves(threads: int, ahead: str, found: int) -> None:
    config = load_config([f"runtime.threads={threads}", f"runtime.encode_ahead={ahead}"]).runtime
    assert operator_threads(config) == found
    assert encodes_ahead(config, torch.device("cpu")) is (ahead != "off" and threads > 1)
    assert not encodes_ahead(config, torch.device("cuda"))


def test_fp16_is_for_gpus() -> None:
    with pytest.raises(ResourceError, match=r"runtime\.precision=fp16 needs a GPU; use bf16 or fp32"):
        configure_torch(load_config(["runtime.device=cpu", "runtime.precision=fp16"]).runtime)


@pytest.mark.parametrize("device", ["abacus", "cuda:99"])
def test_a_device_that_is_not_there_is_named(device: str) -> None:
    with pytest.raises(ResourceError, match=f"runtime.device={device}"):
        configure_torch(load_config([f"runtime.device={device}"]).runtime)
