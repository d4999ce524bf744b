"""The training program: schedules, a few steps, stopping and going on, and what it writes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from tam_dist.errors import ConfigError
from tam_dist.models.xmem.config import SMALL
from tam_dist.models.xmem.network import XMem
from tam_dist.models.xmem.weights import load_network, save_network
from tam_dist.training import score, xmem
from tam_dist.training.video_data import Stage
from tam_dist.training.xmem import Trainer, main, train
from tam_dist.training.xmem_settings import TrainingSettings, load_settings
from tam_dist.training.xmem_validate import HeldOut
from tests.tam_dist.training.pictures import write_cache

CONFIG = Path(__file__).resolve().parents[3] / "configs" / "training" / "xmem.yaml"


def settings(root: Path, *more: str) -> TrainingSettings:
    small = [
        f"out={root}/out",
        f"data.cache={root}/cache",
        "start=null",
        "data.workers=0",
        "device=cpu",
        "threads=1",
        "precision=fp32",
        "optimisation.max_iterations=4",
        "optimisation.trunk_frozen=0.5",
        "reports.log_every=2",
        "reports.validate_minutes=100",
    ]
    made = load_settings(str(CONFIG), [*small, *more])
    # maps are merged with the file's, so these replace them afterwards
    made.data = replace(made.data, stills={"stills": 1.0}, videos={"davis": 1.0}, held_out=["b"])
    made.stages = [Stage(0.0, 64, 3, 2, 0.4, 0.3, 2)]
    made.validation = replace(made.validation, sequences={"davis": ["b"]}, every={}, films={}, guard=["b"])
    return made


@pytest.fixture
def network() -> XMem:
    torch.manual_seed(0)
    return XMem(SMALL)


def test_a_run_trains_logs_validates_and_writes_weights(tmp_path: Path, network: XMem) -> None:
    write_cache(tmp_path / "cache")
    before = {name: p.clone() for name, p in network.named_parameters()}
    train(settings(tmp_path), network)
    rows = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert [row["iteration"] for row in rows] == [0, 2, 4, 4]
    assert {"loss", "matching", "iou_first", "iou_last", "top1", "shrinkage", "key_rms", "s_per_it"} <= set(rows[1])
    assert 0 <= rows[-1]["score"] <= 1
    assert rows[-1]["b"] == rows[-1]["plain_J"] == rows[-1]["score"]
    changed = {name for name, p in network.named_parameters() if not torch.equal(p, before[name])}
    assert "decoder.pred.weight" in changed
    assert "key_encoder.trunk.stages.5.0.project.weight" in changed  # thawed at half time
    assert not any(name.startswith(("key_encoder.trunk.stem", "key_encoder.trunk.stages.2")) for name in changed)
    assert load_network(tmp_path / "out" / "xmem.safetensors").config == SMALL
    assert (tmp_path / "out" / "best.safetensors").exists()


def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path, network: XMem) -> None:
    write_cache(tmp_path / "cache")
    train(settings(tmp_path, "optimisation.max_iterations=2", "reports.validate_minutes=0"), network)
    again = Trainer(settings(tmp_path), XMem(SMALL), torch.device("cpu"))
    assert again.resume(tmp_path / "out")
    assert again.iteration == 2
    assert again.seconds > 0
    assert all(torch.equal(a, b) for a, b in zip(again.network.parameters(), network.parameters(), strict=True))
    assert again.optimiser.state_dict()["state"]


def test_training_lowers_the_loss_on_one_batch(tmp_path: Path, network: XMem) -> None:
    from tam_dist.training.video_data import ClipBatch

    write_cache(tmp_path / "cache")
    trainer = Trainer(settings(tmp_path, "optimisation.max_iterations=1000"), network, torch.device("cpu"))
    labels = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    labels[:, :, 16:48, 16:48] = 1
    frames = (40 + 160 * labels.unsqueeze(2).expand(-1, -1, 3, -1, -1)).contiguous()
    losses = [trainer.step(ClipBatch(frames, labels, 1, [0]))[0]["loss"] for _ in range(25)]
    assert np.mean(losses[-3:]) < 0.6 * losses[0]


def test_the_best_weights_are_those_of_the_best_score_unless_plain_tracking_suffers(
    tmp_path: Path, network: XMem, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(settings(tmp_path), network, torch.device("cpu"))
    best, kept = tmp_path / "best.safetensors", []
    rounds = [(0.6, 0.3), (0.595, 0.5), (0.9, 0.1), (0.5, 0.95)]  # plain, films; the last gave plain tracking away
    for plain, film in rounds:
        monkeypatch.setattr(xmem, "validate", lambda *_, p=plain, f=film: {"b": p, "film_J": f, "film_right": 1.0})
        before = best.stat().st_mtime_ns if best.exists() else 0
        summary = trainer.validate(HeldOut({}, [], None), tmp_path)
        assert summary["score"] == pytest.approx((plain + film) / 2)
        kept.append(best.stat().st_mtime_ns != before)
    assert kept == [True, True, False, False]
    assert trainer.best == pytest.approx(0.5475)


def test_weights_are_scored_on_what_the_configuration_holds_out(
    tmp_path: Path, network: XMem, capsys: pytest.CaptureFixture[str]
) -> None:
    write_cache(tmp_path / "cache")
    save_network(network, tmp_path / "w.safetensors", half=True)
    config = tmp_path / "c.yaml"
    written = OmegaConf.load(CONFIG)
    written.validation = {"sequences": {"davis": ["b"]}, "every": {}, "films": {}, "backdrops": "", "guard": [], "allowance": 0}
    OmegaConf.save(written, config)
    assert score.main([str(config), str(tmp_path / "w.safetensors"), f"data.cache={tmp_path}/cache"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert set(said) == {"weights", "b"}
    assert 0 <= said["b"] <= 1
    assert score.main([str(config)]) == 2


def test_widths_are_settings_of_a_network_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xmem, "load_imagenet_trunk", lambda *_: None)
    write_cache(tmp_path / "cache")
    asked = ("widths={g8_dim: 40, key_dim: 16}", "optimisation.max_iterations=1", "reports.validate_minutes=0")
    expected = replace(SMALL, g8_dim=40, key_dim=16)
    assert train(settings(tmp_path, *asked)).config == expected
    assert load_network(tmp_path / "out" / "xmem.safetensors").config == expected
    with pytest.raises(ConfigError, match="widths has no f8_dim; it takes f16_dim"):
        train(settings(tmp_path, "widths={f8_dim: 48}"))
    with pytest.raises(ConfigError, match=r"widths\.g8_dim must be at least 1, not 0"):
        train(settings(tmp_path, "widths={g8_dim: 0}"))
    with pytest.raises(ConfigError, match="weights have their own"):
        train(settings(tmp_path, f"start={tmp_path}/out/xmem.safetensors", "widths={g8_dim: 40}"))


def test_mistakes_are_told_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match=r"optimisation\.speed"):
        load_settings(str(CONFIG), ["optimisation.speed=3"])
    write_cache(tmp_path / "cache")
    with pytest.raises(ConfigError, match="precision must be one of auto, fp32, bf16, not fp16"):
        train(settings(tmp_path, "precision=fp16"), XMem(SMALL))
    assert main([]) == 2
    assert main([str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml" in capsys.readouterr().err
