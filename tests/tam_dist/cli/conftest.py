from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tam_dist.cli import run


@dataclass(frozen=True)
class Ran:
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out.splitlines()[-1])


Command = Callable[..., Ran]


@pytest.fixture
def tam_dist_command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs ``tam-dist`` with the given words in this process."""

    def command(*words: object) -> Ran:
        code = run([str(w) for w in words])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return command
