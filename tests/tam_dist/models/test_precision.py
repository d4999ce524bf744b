"""What half as many digits change, and what they must not."""

from __future__ import annotations

import pytest
import torch

from tam_dist.config import load_config
from tam_dist.models.precision import Precision, fastest
from tam_dist.models.xmem.config import SMALL
from tam_dist.models.xmem.inference import InferenceCore
from tam_dist.models.xmem.network import XMem

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("capabilities", "found"),
    [
        ({"avx512_bf16": True}, "bf16"),
        ({"amx_bf16": True}, "bf16"),
        ({"avx512_f": True, "avx512_bf16": False}, "fp32"),
        ({}, "fp32"),
    ],
)
def test_auto_is_bf16_where_the_processor_has_it(
    capabilities: dict[str, bool], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert fastest("cpu") == fastest("auto") == found
    assert fastest("cuda:0") == fastest("mps") == "fp32"


def test_auto_is_bf16_on_a_gpu_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for able, found in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, able=able: able)
        assert fastest("auto") == fastest("cuda") == found


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.BF16])
def test_on_a_cpu_networks_and_frames_are_laid_out_channels_last_with_the_same_values(precision: Precision) -> None:
    torch.manual_seed(1)
    network, frames = XMem(SMALL).eval(), torch.rand(1, 3, 32, 64)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert precision.lay_out(network) is network
    assert network.decoder.pred.weight.is_contiguous(memory_format=torch.channels_last)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    laid_out = precision.lay_out_frames(frames)
    assert torch.equal(laid_out, frames)
    assert laid_out.is_contiguous(memory_format=torch.channels_last)


def test_elsewhere_float32_stays_as_it_is() -> None:
    elsewhere = torch.device("meta")
    network, frames = XMem(SMALL).to(elsewhere), torch.rand(1, 3, 32, 64, device=elsewhere)
    assert not Precision.FP32.lay_out(network).decoder.pred.weight.is_contiguous(memory_format=torch.channels_last)
    assert Precision.FP32.lay_out_frames(frames) is frames


def test_bf16_masks_are_nearly_those_of_float32_and_memory_stays_float32() -> None:
    torch.manual_seed(1)
    frames = torch.randint(0, 255, (7, 48, 64, 3), dtype=torch.uint8)
    mask = torch.zeros(48, 64)
    mask[10:30, 20:50] = 1
    found = {}
    for precision in (Precision.FP32, Precision.BF16):
        torch.manual_seed(2)
        network = precision.lay_out(XMem(SMALL).eval().requires_grad_(False))
        core = InferenceCore(network, load_config([]).propagation, device=CPU, precision=precision)
        found[precision] = [core.step(frame, {1: mask} if t == 0 else None) for t, frame in enumerate(core.encode(frames))]
        tensors, _ = core.state()
        assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
        assert {probabilities.dtype for probabilities in found[precision]} == {torch.float32}
    exact, rough = (torch.stack(found[precision]) for precision in (Precision.FP32, Precision.BF16))
    assert not torch.equal(exact, rough)
    assert (exact - rough).abs().mean() < 0.01
