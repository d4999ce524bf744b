"""The widths and choices that define an XMem network."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from tam_dist.errors import WeightsError


@dataclass(frozen=True)
class XMemConfig:
    """Everything needed to build a network before its weights are loaded. The defaults are official XMem.

    ``f16_dim``, ``f8_dim``, ``f4_dim`` are the channels of the frame features at strides 16, 8 and 4; ``g16_dim``,
    ``g8_dim``, ``g4_dim`` those of the decoder. ``update_dim`` is the width in which the decoder's three levels are summed
    before they update the hidden state; ``hidden_dim`` 0 is a network without one. ``skip_kernel`` is the kernel of the
    decoder's skip connections and of residual shortcuts: 3 in official XMem, 1 where time matters.

    With ``bounded_matching`` keys are scaled to ``key_scale`` RMS and shrinkage stays within 1..``max_shrinkage``. Official
    XMem leaves both unbounded; small networks trained that way drove shrinkage to about 1400, at which the softmax puts
    all its mass on one element, the gradient vanishes and keys stop learning. At 1.5 RMS training pressed shrinkage against
    its lower bound of 1 within 200 steps, which looks as if it wanted a softer matching than such keys allow.

    With ``mask_in_hidden`` the last channel of the hidden state is not learnt: it is the object's latest mask, so that the
    decoder knows from the start of training where the object just was.
    """

    backbone: Literal["resnet50", "lite0"] = "resnet50"
    key_dim: int = 64
    value_dim: int = 512
    hidden_dim: int = 64
    f16_dim: int = 1024
    f8_dim: int = 512
    f4_dim: int = 256
    g16_dim: int = 512
    g8_dim: int = 256
    g4_dim: int = 256
    update_dim: int = 256
    skip_kernel: int = 3
    bounded_matching: bool = False
    key_scale: float = 0.75
    max_shrinkage: float = 33.0
    mask_in_hidden: bool = False

    @property
    def stride(self) -> int:
        """Frames are padded to multiples of this: the coarsest level that the backbone looks at."""
        return 32 if self.backbone == "lite0" else 16

    def to_metadata(self) -> str:
        """As JSON, for the header of a weight file."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_metadata(cls, text: str) -> XMemConfig:
        """The inverse of :meth:`to_metadata`. Raises :class:`WeightsError` where a field is unknown or missing.

        >>> XMemConfig.from_metadata(SMALL.to_metadata()) == SMALL
        True
        """
        try:
            data = json.loads(text)
            names = {field.name for field in dataclasses.fields(cls)}
            if set(data) != names:
                raise KeyError(", ".join(sorted(set(data) ^ names)))
            return cls(**data)
        except (ValueError, TypeError, KeyError) as error:
            reason = f"its network description does not fit this version of tam-dist: {error}."
            raise WeightsError(reason) from error

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor]) -> XMemConfig:
        """The widths of a checkpoint in the official layout, read from its shapes, some of which the official loader reads too.

        Raises :class:`WeightsError` where a key that XMem has is missing.
        """
        try:
            transform = state.get("decoder.hidden_update.transform.weight")
            return cls(
                key_dim=state["key_proj.key_proj.weight"].shape[0],
                value_dim=state["value_encoder.fuser.block2.conv2.weight"].shape[0],
                hidden_dim=0 if transform is None else transform.shape[0] // 3,
                g16_dim=state["decoder.up_16_8.skip_conv.weight"].shape[0],
                g8_dim=state["decoder.up_8_4.skip_conv.weight"].shape[0],
                g4_dim=state["decoder.pred.weight"].shape[1],
                update_dim=cls.update_dim if transform is None else state["decoder.hidden_update.g16_conv.weight"].shape[0],
            )
        except KeyError as error:
            raise WeightsError(f"there is no {error.args[0]}.") from error


#: The embedded network, for CPUs: 3.8 M parameters, of which 2.3 M are the trunk; under 8 MB in float16.
SMALL = XMemConfig(
    backbone="lite0",
    key_dim=64,
    value_dim=96,
    hidden_dim=32,
    f16_dim=128,
    f8_dim=40,
    f4_dim=24,
    g16_dim=96,
    g8_dim=64,
    g4_dim=32,
    update_dim=64,
    skip_kernel=1,
    bounded_matching=True,
    mask_in_hidden=True,
)
