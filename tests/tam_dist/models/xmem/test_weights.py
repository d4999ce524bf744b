"""Weight files: what is written comes back, and what is broken is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tam_dist.errors import WeightsError
from tam_dist.models.xmem.config import SMALL, XMemConfig
from tam_dist.models.xmem.network import XMem
from tam_dist.models.xmem.weights import CONFIG_KEY, load_network, save_network


@pytest.fixture(scope="module")
def small() -> XMem:
    torch.manual_seed(0)
    return XMem(SMALL)


def test_safetensors_round_trip(small: XMem, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_network(small, path)
    loaded = load_network(path)
    assert loaded.config == SMALL
    assert not loaded.training
    for key, tensor in small.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], tensor), key


def test_half_precision_files_are_widened(small: XMem, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_network(small, path, half=True)
    assert path.stat().st_size < 8e6
    for key, tensor in load_network(path).state_dict().items():
        assert tensor.dtype == small.state_dict()[key].dtype
        torch.testing.assert_close(tensor, small.state_dict()[key], rtol=1e-3, atol=1e-6)


def test_official_checkpoint(official_state: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "XMem.pth"
    torch.save(official_state, path)
    network = load_network(path)
    assert network.config == XMemConfig()
    assert torch.equal(network.decoder.pred.weight, official_state["decoder.pred.weight"])


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_broken_files_are_named(small: XMem, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with pytest.raises(WeightsError, match=f"{name} do not exist"):
        load_network(path)
    if name.endswith("pth"):
        torch.save(small.state_dict(), path)
    else:
        save_network(small, path)
    _cut(path)
    with pytest.raises(WeightsError, match=name):
        load_network(path)
    path.write_bytes(b"no weights at all")
    with pytest.raises(WeightsError, match=name):
        load_network(path)


def test_files_of_other_models_are_named(official_state: dict[str, Tensor], tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(1)}, other)
    with pytest.raises(WeightsError, match=r"other\.safetensors does not hold XMem weights"):
        load_network(other)
    save_file({"a": torch.zeros(1)}, other, metadata={CONFIG_KEY: SMALL.to_metadata()})
    with pytest.raises(WeightsError, match=r"other\.safetensors"):
        load_network(other)
    save_file({"a": torch.zeros(1)}, other, metadata={CONFIG_KEY: '{"backbone": "vit"}'})
    with pytest.raises(WeightsError, match=r"other\.safetensors"):
        load_network(other)
    for state in ({"a": torch.zeros(1)}, [1, 2], {"state": {}}):
        torch.save(state, tmp_path / "other.pth")
        with pytest.raises(WeightsError, match=r"other\.pth"):
            load_network(tmp_path / "other.pth")


def test_loading_never_runs_code(tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.mkdir, (tmp_path / "harm",))

    torch.save({"a": Harmful()}, tmp_path / "x.pth")
    with pytest.raises(WeightsError):
        load_network(tmp_path / "x.pth")
    assert not (tmp_path / "harm").exists()
