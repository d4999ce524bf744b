"""The contract: a fitted model belongs to its weights, survives its file, and scores lie in 0..1."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tam_dist.errors import WeightsError
from tam_dist.models.checkpoints import resolve, sha256
from tam_dist.tracking.quality.model import QualityModel, confidence_alone, scorer_for, weight_free
from tam_dist.tracking.quality.signals import SIGNALS


def model(xmem: str = "a") -> QualityModel:
    rng = np.random.default_rng(0)
    width = len(SIGNALS)
    parts = [
        rng.normal(size=width),
        np.abs(rng.normal(size=width)) + 0.1,
        rng.normal(size=(4, width + 1)),
        rng.normal(size=(2, 5)),
    ]
    return QualityModel(xmem, *parts)


def signals(rows: int = 5) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(rows, len(SIGNALS))).astype(np.float32) * 30


@pytest.mark.parametrize("scorer", [model(), weight_free, confidence_alone])
def test_scores_lie_between_0_and_1(scorer: QualityModel) -> None:
    found = scorer(np.clip(signals(), 0, 1))
    for part in (found.iou, found.absent):
        assert part.shape == (5,)
        assert part.dtype == np.float32
        assert ((part >= 0) & (part <= 1)).all()


def test_a_model_survives_its_file(tmp_path: Path) -> None:
    file = tmp_path / "m.json"
    file.write_text(model().to_json(), encoding="utf-8")
    assert np.allclose(QualityModel.read(file)(signals()).iou, model()(signals()).iou, atol=1e-3)


def test_weights_without_a_fitted_model_get_the_fallback(tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"weights")
    assert scorer_for(weights) is weight_free
    beside = tmp_path / "w.quality.json"
    beside.write_text(model("of others").to_json(), encoding="utf-8")
    assert scorer_for(weights) is weight_free
    beside.write_text(model(sha256(weights)).to_json(), encoding="utf-8")
    assert isinstance(scorer_for(weights), QualityModel)
    beside.write_text('{"signals": []}', encoding="utf-8")
    with pytest.raises(WeightsError, match="other signals"):
        scorer_for(weights)


def test_the_embedded_weights_have_their_model() -> None:
    assert isinstance(scorer_for(resolve("embedded", "xmem")), QualityModel)
