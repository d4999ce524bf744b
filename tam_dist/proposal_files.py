"""Proposed objects as a folder: ``prompts.json`` to be edited, the masks it names, and a picture that shows them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tam_dist.config import Config
from tam_dist.errors import PromptError
from tam_dist.export.target import check_free, whole_or_nothing
from tam_dist.media.drawing import draw_objects
from tam_dist.media.reader import open_video
from tam_dist.models.sam.opening import open_segmenter
from tam_dist.prompt_writing import write_prompts
from tam_dist.prompts import new_prompt, objects_of
from tam_dist.propose import ProposalRules, propose
from tam_dist.types import Mask

AUTHOR = "propose"


def propose_file(
    video: str, frame: int, folder: Path, config: Config, rules: ProposalRules, *, replace: bool = False
) -> list[str]:
    """Write the objects of one frame, named ``object-1`` and so on, the largest first; returns their names.

    Raises :class:`PromptError` where the frame does not exist or nothing is found on it, :class:`VideoError`,
    :class:`ExportError` where ``folder`` is in use.
    """
    target = folder.absolute()
    check_free(target, folder=True, replace=replace)
    with open_video(video, reader=config.media.reader) as reader:
        last = reader.info.frame_count - 1
        if not 0 <= frame <= last:
            raise PromptError(f"Frame {frame} is outside the frames 0..{last} of {video}: choose one of those.")
        picture = reader.read(frame, frame + 1)[0]
    found = propose(open_segmenter(config, closer=False), picture, rules)
    if not found:
        raise PromptError(
            f"Nothing was found on frame {frame} of {video} that SAM is sure of: try another frame, or a lower --score."
        )
    prompts = [new_prompt(frame, f"object-{i}", Mask.from_array(p.mask), author=AUTHOR) for i, p in enumerate(found, 1)]
    names = [prompt.object_name for prompt in prompts]
    labels = np.zeros(picture.shape[:2], np.uint8 if len(found) < 255 else np.uint16)
    for i, proposal in enumerate(found, 1):
        labels[proposal.mask] = i
    record: dict[str, object] = {
        "tool": "tam-dist",
        "video": video,
        "frame": frame,
        "objects": [{"name": f"object-{i}", "score": p.score, "point": p.point} for i, p in enumerate(found, 1)],
    }
    with whole_or_nothing(target, record, folder=True) as partial:
        write_prompts(partial, prompts, names)
        Image.fromarray(draw_objects(picture, labels, objects_of(prompts))).save(partial / "preview.png")
    return names
