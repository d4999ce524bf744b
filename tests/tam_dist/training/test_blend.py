"""Weights between others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tam_dist.errors import WeightsError
from tam_dist.models.xmem.config import SMALL
from tam_dist.models.xmem.network import XMem
from tam_dist.models.xmem.weights import load_network, save_network
from tam_dist.training.blend import blend, main


@pytest.fixture(scope="module")
def networks() -> list[XMem]:
    torch.manual_seed(5)
    return [XMem(SMALL).eval() for _ in range(2)]


def test_each_weight_lies_between_by_the_share(networks: list[XMem]) -> None:
    before = [{key: value.clone() for key, value in network.state_dict().items()} for network in networks]
    found = blend(networks, [3.0, 1.0]).state_dict()
    for key, value in found.items():
        assert torch.allclose(value, 0.75 * before[0][key] + 0.25 * before[1][key], atol=1e-7), key
    for network, state in zip(networks, before, strict=True):
        assert all(torch.equal(network.state_dict()[key], value) for key, value in state.items())


def test_a_share_of_nothing_leaves_the_other_as_it_was(networks: list[XMem]) -> None:
    found = blend(networks, [0.0, 2.0]).state_dict()
    assert all(torch.equal(found[key], value) for key, value in networks[1].state_dict().items())


@pytest.mark.parametrize("shares", [[0.0, 0.0], [1.0]])
def test_shares_must_fit(networks: list[XMem], shares: list[float]) -> None:
    with pytest.raises(ValueError, match="shares"):
        blend(networks, shares)


def test_only_networks_of_one_configuration_have_a_mean(networks: list[XMem]) -> None:
    other = XMem(replace(SMALL, key_dim=2 * SMALL.key_dim))
    with pytest.raises(WeightsError, match="one network"):
        blend([networks[0], other], [1.0, 1.0])


def test_the_command_writes_weights_that_load(networks: list[XMem], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b, out = (tmp_path / f"{name}.safetensors" for name in ("a", "b", "out"))
    save_network(networks[0], a)
    save_network(networks[1], b)
    assert main([str(out), f"{a}=0.5", f"{b}=1.5"]) == 0
    found, wanted = load_network(out).state_dict(), blend(networks, [1, 3]).state_dict()
    assert all(torch.allclose(found[key], value, atol=1e-3, rtol=1e-3) for key, value in wanted.items())  # kept in float16
    refused = {"'x'": [f"{a}=x", str(b)], "negative": [f"{a}=-1", f"{b}=2"], "positive": [f"{a}=0", f"{b}=0"]}
    for named, arguments in refused.items():
        assert main([str(tmp_path / "none.safetensors"), *arguments]) == 2
        assert named in capsys.readouterr().err
    assert main([str(tmp_path / "none.safetensors"), str(a), str(tmp_path / "missing.safetensors")]) == 1
    assert "do not exist" in capsys.readouterr().err
    assert not (tmp_path / "none.safetensors").exists()
