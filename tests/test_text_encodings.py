"""Every text file is opened with an encoding: without one Python takes the locale's, and under an ASCII locale each command
died of the first "é" in a settings file.

ruff has a rule for this (PLW1514), but sees only what it can tell to be a path, and with it come all its previews.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]


def without_encoding(source: str) -> Iterator[int]:
    """Lines of calls that open text files in the locale's encoding.

    >>> list(without_encoding('open("a")\\nopen("a", "rb")\\npath.read_text()\\npath.open("w", encoding="utf-8")'))
    [1, 3]
    """
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or any(keyword.arg == "encoding" for keyword in node.keywords):
            continue
        modes = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        modes = [mode for mode in modes if 0 < len(mode) <= 3 and set(mode) <= set("rwxabt+")]
        match node.func:
            case ast.Name("open"):
                wrong = not any("b" in mode for mode in modes)
            case ast.Attribute(_, "read_text" | "write_text"):
                wrong = True
            case ast.Attribute(ast.Name("av" | "os" | "Image"), "open"):
                wrong = False
            case ast.Attribute(_, "open"):  # also of projects, readers and pictures, which take no mode
                wrong = any("b" not in mode for mode in modes)
            case _:
                wrong = False
        if wrong:
            yield node.lineno


def test_no_text_file_is_opened_in_the_locales_encoding() -> None:
    files = [file for folder in ("tam_dist", "actors", "storage") for file in sorted((ROOT / folder).rglob("*.py"))]
    assert files
    found = [f"{file.relative_to(ROOT)}:{line}" for file in files for line in without_encoding(file.read_text("utf-8"))]
    assert found == []


def test_the_search_finds_what_it_should() -> None:
    text = 'open("a")\nopen("a", "rb")\np.read_text()\np.open("w")\np.open("w", encoding="utf-8")\nProject.open(p)'
    assert list(without_encoding(text)) == [1, 3, 4]
