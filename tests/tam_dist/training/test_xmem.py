"""The training program: schedules, a few steps, stopping and going on, and what it writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tam_dist.errors import ConfigError
from tam_dist.models.xmem.config import SMALL
from tam_dist.models.xmem.network import XMem
from tam_dist.models.xmem.weights import load_network
from tam_dist.training.xmem import Trainer, TrainingSettings, load_settings, main, train

CONFIG = Path(__file__).resolve().parents[3] / "configs" / "training" / "xmem.yaml"


def write_pictures(root: Path) -> None:
    """Four stills and two five-frame sequences with a bright disc each."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :80]
    places = [(root / "stills" / "images", root / "stills" / "masks", str(i), 24 + 8 * i) for i in range(4)]
    for name in ("a", "b"):
        folder = root / "davis"
        places += [(folder / "JPEGImages" / name, folder / "Annotations" / name, f"{t:05d}", 24 + 5 * t) for t in range(5)]
    for images, masks, stem, centre in places:
        images.mkdir(parents=True, exist_ok=True)
        masks.mkdir(parents=True, exist_ok=True)
        disc = (x - centre) ** 2 + (y - 32) ** 2 < 200
        pixels = rng.integers(0, 80, (64, 80, 3)).astype(np.uint8)
        pixels[disc] += 150
        Image.fromarray(pixels).save(images / f"{stem}.jpg")
        Image.fromarray(disc.astype(np.uint8)).save(masks / f"{stem}.png")


def settings(root: Path, *more: str) -> TrainingSettings:
    small = [
        f"out={root}/out",
        f"data.stills={root}/stills",
        f"data.davis={root}/davis",
        f"data.packed={root}/packed",
        "data.held_out=[b]",
        "data.workers=0",
        "device=cpu",
        "threads=1",
        "stages=[{start: 0, size: 64, length: 3, batch: 2, video_share: 0.5, max_skip: 2}]",
        "optimisation.max_iterations=4",
        "optimisation.trunk_frozen=0.5",
        "reports.log_every=2",
        "reports.validate_minutes=100",
    ]
    return load_settings(str(CONFIG), [*small, *more])


@pytest.fixture
def network() -> XMem:
    torch.manual_seed(0)
    return XMem(SMALL)


def test_a_run_trains_logs_validates_and_writes_weights(tmp_path: Path, network: XMem) -> None:
    write_pictures(tmp_path)
    before = {name: p.clone() for name, p in network.named_parameters()}
    train(settings(tmp_path), network)
    rows = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert rows[1]["iteration"] == 4
    assert {"loss", "iou_first", "iou_last", "top1", "shrinkage", "key_rms", "s_per_it"} <= set(rows[1])
    assert 0 <= rows[-1]["held_out_J"] <= 1
    assert rows[-1]["b"] == rows[-1]["held_out_J"]
    changed = {name for name, p in network.named_parameters() if not torch.equal(p, before[name])}
    assert "decoder.pred.weight" in changed
    assert "key_encoder.trunk.stages.5.0.project.weight" in changed  # thawed at half time
    assert not any(name.startswith(("key_encoder.trunk.stem", "key_encoder.trunk.stages.2")) for name in changed)
    assert load_network(tmp_path / "out" / "xmem.safetensors").config == SMALL


def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path, network: XMem) -> None:
    write_pictures(tmp_path)
    train(settings(tmp_path, "optimisation.max_iterations=2", "reports.validate_minutes=0"), network)
    again = Trainer(settings(tmp_path), XMem(SMALL), torch.device("cpu"))
    assert again.resume(tmp_path / "out")
    assert again.iteration == 2
    assert again.seconds > 0
    assert all(torch.equal(a, b) for a, b in zip(again.network.parameters(), network.parameters(), strict=True))
    assert again.optimiser.state_dict()["state"]


def test_training_lowers_the_loss_on_one_batch(tmp_path: Path, network: XMem) -> None:
    from tam_dist.training.video_data import ClipBatch

    write_pictures(tmp_path)
    trainer = Trainer(settings(tmp_path, "optimisation.max_iterations=1000"), network, torch.device("cpu"))
    labels = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    labels[:, :, 16:48, 16:48] = 1
    frames = (40 + 160 * labels.unsqueeze(2).expand(-1, -1, 3, -1, -1)).contiguous()
    losses = [trainer.step(ClipBatch(frames, labels, 1))["loss"] for _ in range(25)]
    assert np.mean(losses[-3:]) < 0.6 * losses[0]


def test_mistakes_are_told_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match=r"optimisation\.speed"):
        load_settings(str(CONFIG), ["optimisation.speed=3"])
    assert main([]) == 2
    assert main([str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml" in capsys.readouterr().err
