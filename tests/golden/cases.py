"""The golden videos: frames, masks given and what official XMem, or its restatement here, makes of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tam_dist.config import PropagationConfig
from tam_dist.models.xmem.inference import InferenceCore

HERE = Path(__file__).parent


def read_arrays(name: str, folder: Path = HERE) -> dict[str, np.ndarray]:
    """The arrays of a file; those kept as float16 as float32."""
    with np.load(folder / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    return {key: array.astype(np.float32) if array.dtype == np.float16 else array for key, array in arrays.items()}


@dataclass
class Case:
    """One golden video: frames uint8 (T, h, w, 3), masks per frame and object, official outputs."""

    name: str
    data: dict[str, np.ndarray]
    config: PropagationConfig
    masks: dict[int, dict[int, Tensor]]

    @classmethod
    def load(cls, name: str, data: dict[str, np.ndarray]) -> Case:
        official = json.loads(str(data["config"]))
        config = PropagationConfig(
            short_side=480,
            enlarge=False,
            key_batch=1,
            mem_every=official["mem_every"],
            deep_update_every=official["deep_update_every"],
            top_k=official["top_k"],
            long_term=official["enable_long_term"],
            min_working_frames=official["min_mid_term_frames"],
            max_working_frames=official["max_mid_term_frames"],
            num_prototypes=official["num_prototypes"],
            max_long_term_elements=official["max_long_term_elements"],
            max_permanent_frames=32,
            query_block=32,
        )
        masks = {}
        for frame, event in json.loads(str(data["mask_events"])).items():
            stack = torch.from_numpy(data[f"mask_{int(frame):05d}"]).float()
            masks[int(frame)] = {i: stack[i - 1] for i in event["valid_labels"]}
        return cls(name, data, config, masks)

    @property
    def kept(self) -> slice:
        """The rows and columns whose probabilities the file holds."""
        return slice(None, None, int(self.data.get("stride", 1)))

    @property
    def frames(self) -> Tensor:
        return torch.from_numpy(self.data["images"])

    def ends(self, t: int) -> bool:
        return bool(self.data["end_on_last"]) and t == len(self.frames) - 1

    def expected(self, t: int) -> Tensor:
        """Probabilities (n, h, w), thinned to :attr:`kept`, of the objects that exist in frame ``t``."""
        expected = torch.from_numpy(self.data["probs"][t])
        return expected[~expected.isnan().all(2).all(1)]


def advance(core: InferenceCore, case: Case, t: int) -> Tensor:
    (frame,) = core.encode(case.frames[t : t + 1])
    return core.step(frame, case.masks.get(t), end=case.ends(t))
