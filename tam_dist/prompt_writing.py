"""Prompts as a file to be edited: what :mod:`tam_dist.prompt_files` reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from tam_dist.export.footage import safe_name
from tam_dist.types import Box, Mask, Prompt


def write_prompts(folder: Path, prompts: Sequence[Prompt], names: Sequence[str]) -> None:
    """``prompts.json``, objects in the order of ``names``, with the masks as PNGs under ``masks/``."""
    entries: list[dict[str, object]] = []
    for prompt in sorted(prompts, key=lambda p: (p.frame, names.index(p.object_name))):
        entry: dict[str, object] = {"object": prompt.object_name, "frame": prompt.frame}
        if isinstance(prompt.data, Mask):
            id_ = names.index(prompt.object_name) + 1
            path = Path("masks") / f"{prompt.frame:05d}-{id_}-{safe_name(prompt.object_name)}.png"
            (folder / "masks").mkdir(exist_ok=True)
            Image.fromarray(prompt.data.to_array()).save(folder / path)
            entry["mask"] = path.as_posix()
        elif isinstance(prompt.data, Box):
            box = prompt.data
            entry["box"] = [round(v, 2) for v in (box.x0, box.y0, box.x1, box.y1)]
        entries.append(entry)
    lines = ",\n".join(f"    {json.dumps(entry, ensure_ascii=False)}" for entry in entries)
    objects = json.dumps(list(names), ensure_ascii=False)
    (folder / "prompts.json").write_text(f'{{\n  "objects": {objects},\n  "prompts": [\n{lines}\n  ]\n}}\n', encoding="utf-8")
