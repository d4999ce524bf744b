"""Frames and masks of a project as a PyTorch dataset, to train or evaluate a model on what was tracked.

    python examples/pytorch_dataset.py PROJECT

A frame is decoded and its masks are read when it is asked for, so nothing is exported and memory does not grow with the video.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from tam_dist import Project
from tam_dist.media.reader import VideoReader, open_video


class TrackedFrames(Dataset[dict[str, Tensor]]):
    """Tracked frames whose objects are all at least ``quality`` good: ``image`` float32 (3, H, W) in 0..1, ``labels`` int64
    (H, W), 0 background, else an object's id, ``frame`` its number.
    """

    def __init__(self, project: str, *, quality: float = 0.0) -> None:
        self._project = project
        opened = Project.open(project)
        scores = opened.quality[:]
        good = np.all(np.isnan(scores) | (scores >= quality), axis=1)
        self.frames = np.flatnonzero(opened.tracked & good)
        self.names = {item.id: item.name for item in opened.objects}
        # Files are opened by the process that reads: a DataLoader's workers are copies of this one.
        self._opened: tuple[Project, VideoReader] | None = None

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if self._opened is None:
            project = Project.open(self._project)
            self._opened = project, open_video(project.video.uri)
        project, video = self._opened
        frame = int(self.frames[index])
        image = torch.from_numpy(video.read(frame, frame + 1)[0].copy()).permute(2, 0, 1).float() / 255
        labels = torch.from_numpy(project.labels[frame].astype(np.int64))
        return {"image": image, "labels": labels, "frame": torch.tensor(frame)}

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_opened": None}


def main(project: str) -> None:
    data = TrackedFrames(project, quality=0.5)
    print(f"{len(data)} frames of {', '.join(data.names.values())}")
    for batch in DataLoader(data, batch_size=4, shuffle=True):
        share = (batch["labels"] > 0).float().mean()
        print(f"frames {batch['frame'].tolist()}: {tuple(batch['image'].shape)}, {share:.1%} of the pixels are objects")


if __name__ == "__main__":
    main(sys.argv[1])
