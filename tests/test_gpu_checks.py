"""The checks for a GPU go through on a CPU in tiny sizes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmarks import gpu


@pytest.mark.slow
def test_all_checks_run_and_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = tmp_path / "report.md"
    monkeypatch.setattr(sys, "argv", ["gpu", "--small", "--device", "cpu", "--out", str(report), "runtime.threads=1"])
    assert gpu.main() == 0
    text = report.read_text(encoding="utf-8")
    assert text.count("\npassed (") == len(gpu.CHECKS)
    assert "the same\n" in text


def test_a_check_that_fails_or_breaks_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(bench: gpu.Bench) -> Iterator[str]:
        yield "so far"
        raise gpu.CheckFailedError("not as it should be")

    def breaks(bench: gpu.Bench) -> Iterator[str]:
        yield str(1 / 0)

    def passes(bench: gpu.Bench) -> Iterator[str]:
        yield "fine"

    monkeypatch.setattr(gpu, "CHECKS", (fails, breaks, passes))
    lines: list[str] = []
    assert not gpu.run(gpu.Bench(gpu.TINY, gpu.load_config()), lines.append)
    text = "\n".join(lines)
    assert "so far\n\nFAILED: not as it should be" in text
    assert "ZeroDivisionError" in text
    assert text.rstrip().rpartition("\n")[2].startswith("passed")
