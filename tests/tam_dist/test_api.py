"""Which executor runs a job."""

from __future__ import annotations

import pytest

from tam_dist import api
from tam_dist.api import chosen_executor, visible_gpus
from tam_dist.config import load_config
from tam_dist.errors import ConfigError


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two GPUs, and no cluster."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.mark.parametrize(
    ("videos", "settings", "address", "chosen"),
    [
        (1, [], None, "inline"),  # both models share a GPU, or have none
        (2, [], None, "ray"),
        (1, [], "127.0.0.1:6379", "ray"),
        (1, ["cluster.preset=gpu2"], None, "ray"),
        (1, ["cluster.preset=gpu2", "runtime.device=cpu"], None, "inline"),
        (1, ["cluster.preset=cpu"], None, "inline"),
    ],
)
def test_the_executor_is_chosen_by_the_work(videos: int, settings: list[str], address: str | None, chosen: str) -> None:
    config = load_config(settings)
    assert chosen_executor("auto", videos, config, address) == chosen
    assert [chosen_executor(name, videos, config, address) for name in ("ray", "inline")] == ["ray", "inline"]


def test_a_cluster_of_the_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    assert chosen_executor("auto", 1, load_config()) == "ray"


def test_what_there_is_no_second_gpu_for_needs_no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config(["cluster.preset=gpu2"])
    for devices, gpus in (("1", 1), ("", 0), ("-1", 0)):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", devices)
        assert visible_gpus() == gpus
        assert chosen_executor("auto", 1, config) == "inline"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(api.os, "listdir", lambda _: ["0000:00:1e.0", "0000:00:1f.0"])
    assert chosen_executor("auto", 1, config) == "ray"


def test_another_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="choose auto, inline or ray"):
        chosen_executor("spark", 1, load_config())
