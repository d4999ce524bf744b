"""The contract: each round looks at a frame not looked at before, and the curve holds the masks' scores after it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tam_dist.cli import run
from tam_dist.evaluation.interactive import area_under, middle_of_widest_gap
from tests.tam_dist.evaluation.test_davis import FRAMES, truth
from tests.tiny import moving_square, write_frames


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("davis")
    write_frames(where / "JPEGImages" / "left", moving_square(FRAMES))
    (where / "Annotations" / "left").mkdir(parents=True)
    for t in range(FRAMES):
        Image.fromarray(truth(t)).save(where / "Annotations" / "left" / f"{t:05d}.png")
    return where


def test_the_command_corrects_and_scores(
    root: Path, tiny_settings: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "eval",
        "interactive",
        "--root",
        str(root),
        "--choices",
        "queue,oracle,uniform,random",
        "--rounds",
        "2",
        "--json",
    ]
    assert run([*command, *tiny_settings]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(report["choices"]) == ["queue", "oracle", "uniform", "random"]
    curves = {curve["choice"]: curve for curve in report["curves"]}
    for curve in curves.values():
        assert [r["rounds"] for r in curve["rounds"]] == [0, 1, 2]
        assert len({0, *curve["looked_at"]}) == 3
        assert all(0 <= frame < FRAMES for frame in curve["looked_at"])
        seconds = [r["seconds"] for r in curve["rounds"]]
        assert seconds == sorted(seconds)
        assert all(0 <= r["j_and_f"] <= 1 for r in curve["rounds"])
        assert curve["rounds"][2]["tracked"] > curve["rounds"][0]["tracked"] >= FRAMES
        assert curve["objects"] == 2
    assert curves["uniform"]["looked_at"] == [6, 3]
    assert len({curve["rounds"][0]["j_and_f"] for curve in curves.values()}) == 1


@pytest.mark.parametrize(("option", "sentence"), [(["--choices", "best"], "not 'best'"), (["--year", "2018"], "not 2018")])
def test_unknown_choices_are_usage_errors(
    option: list[str], sentence: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["eval", "interactive", "--root", str(root), *option]) == 2
    assert sentence in capsys.readouterr().err


@settings(derandomize=True, deadline=None)
@given(st.integers(2, 60), st.data())
def test_gaps_are_halved_until_every_frame_was_looked_at(length: int, data: st.DataObject) -> None:
    looked_at = [data.draw(st.integers(0, length - 1))]
    while len(looked_at) < length:
        looked_at.append(middle_of_widest_gap(looked_at, length))
    assert sorted(looked_at) == list(range(length))


@settings(derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1)), min_size=1, max_size=6))
def test_the_area_under_a_curve_is_between_nothing_and_its_best(points: list[tuple[float, float]]) -> None:
    points = sorted(points, key=lambda point: point[0])
    area = area_under(points, 60.0)
    assert -1e-9 <= area <= max(value for _, value in points) + 1e-9
    assert area_under([(0.0, 1.0)], 60.0) == 1.0
