"""Commands whose streams are closed, full or in a poor encoding, and what a process loads for a command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tiny import moving_square, square, write_frames

CLICK = ("--click", "cat@0:10,14")
COMMAND = f'"{sys.executable}" -m tam_dist.cli'


def shell(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command line as a shell runs it; ``tam-dist`` is ours."""
    tree = str(Path(__file__).resolve().parents[3])
    return subprocess.run(
        ["sh", "-c", line.replace("tam-dist", COMMAND)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": tree, **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("tam-dist config >&-", 0, ""),
        ("tam-dist config 2>&- <&-", 0, ""),
        ("tam-dist track nope.mp4 --click a@0:1,1 2>&- <&-", 1, ""),
        ("tam-dist config > /dev/full", 5, "error: The result can't be written to standard output: No space left on device."),
        ("tam-dist --help > /dev/full", 5, "error: No space left on device; check the disk, its permissions and limits."),
        ("tam-dist track nope.mp4 --click a@0:1,1 2> /dev/full", 1, ""),
        ("tam-dist run - --out o <&-", 2, "error: Standard input names no video: give one line for each."),
    ],
)
def test_streams_that_are_closed_or_full(line: str, code: int, said: str, tmp_path: Path) -> None:
    ran = shell(line, tmp_path)
    assert (ran.returncode, ran.stderr.strip()) == (code, said)


def test_every_word_can_be_shown_under_an_ascii_locale(tmp_path: Path) -> None:
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ran = shell("tam-dist config", tmp_path, **ascii_only)
    assert (ran.returncode, ran.stderr) == (0, "")
    line = {"video": "Äpfel.mp4", "prompts": [{"object": "Äpfel", "frame": 0, "clicks": [[1, 2]]}]}
    (tmp_path / "c.jsonl").write_text(json.dumps(line, ensure_ascii=False), encoding="utf-8")
    ran = shell("tam-dist run c.jsonl --out o --executor inline", tmp_path, **ascii_only)
    assert ran.returncode == 3, ran.stderr
    assert r"\xc4pfel" in ran.stderr
    assert "this is a bug" not in ran.stderr
    ran = shell("tam-dist run - --out o --executor inline < c.jsonl", tmp_path, **ascii_only)
    assert ran.returncode == 3, ran.stderr
    ran = shell("tam-dist track a.mp4 --click 'Ä@0:1,2'", tmp_path, **ascii_only)
    assert ran.returncode == 2
    assert "set LC_ALL=C.UTF-8" in ran.stderr


@pytest.mark.parametrize(
    ("video", "words"),
    [(b"\xff.mp4", "rename it"), (b"a\nb.mp4", "holds a control character"), (b"a" * 300 + b".mp4", "is longer than 255")],
)
def test_names_that_no_record_can_hold(video: bytes, words: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tam_dist.cli", "track", os.fsdecode(video), *CLICK],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])},
        capture_output=True,
        encoding="utf-8",
    )
    assert ran.returncode == 2, ran.stderr
    assert words in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_quiet_silences_the_libraries_below_too(
    tmp_path: Path, tiny_settings: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    from tam_dist.cli.streams import silent_libraries

    with silent_libraries():
        os.write(2, b"[h264 @ 0x55] no frame!\n")
        print("error: ours", file=sys.stderr)
    os.write(2, b"later\n")
    assert capfd.readouterr().err == "error: ours\nlater\n"
    write_frames(tmp_path / "video", moving_square(8))
    Image.fromarray(square(4, 10).astype(np.uint8)).save(tmp_path / "first.png")  # what random weights make of a click is luck
    words = f"tam-dist track video --labels 0=first.png --executor inline -q {' '.join(tiny_settings)}"
    assert shell(words, tmp_path).stderr == ""
    assert shell("tam-dist resume nothing -q", tmp_path).stderr.startswith("error: ")


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["track", "--help"], ["config"], ["nonsense"]])
def test_what_needs_no_model_loads_none(words: list[str]) -> None:
    script = (
        "import sys; from tam_dist.cli import run; run(sys.argv[1:]);"
        "print(sorted({'torch', 'ray', 'zarr', 'gradio', 'av', 'cv2'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, encoding="utf-8", check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


def test_the_version_and_flags_without_a_type(tmp_path: Path) -> None:
    import tam_dist

    assert shell("tam-dist --version", tmp_path).stdout == f"tam-dist {tam_dist.__version__}\n"
    shown = shell("tam-dist track --help", tmp_path).stdout
    assert "--json" in shown
    assert "bool" not in shown
