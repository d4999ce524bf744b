"""SAM networks, without weights, all made of segment-anything's own classes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from torch import nn

from tam_dist.models.sam._torchvision_standin import torchvision_standin
from tam_dist.models.sam.lite_encoder import LiteImageEncoder

with torchvision_standin():
    from segment_anything import sam_model_registry
    from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
    from segment_anything.utils.transforms import ResizeLongestSide as _ResizeLongestSide

__all__ = ["ResizeLongestSide", "Sam", "SmallSamConfig", "build_official_sam", "build_small_sam", "resize_input"]


class ResizeLongestSide(_ResizeLongestSide):  # type: ignore[misc]  # its package has no types
    """As segment-anything's, except that no side vanishes: of 4000x2 pixels it leaves 512x0."""

    @staticmethod
    def get_preprocess_shape(oldh: int, oldw: int, long_side_length: int) -> tuple[int, int]:
        height, width = _ResizeLongestSide.get_preprocess_shape(oldh, oldw, long_side_length)
        return max(1, height), max(1, width)


OFFICIAL_DEPTHS = {12: "vit_b", 24: "vit_l", 32: "vit_h"}


@dataclass(frozen=True)
class SmallSamConfig:
    """Widths of the embedded SAM; kept in its weight file. Defaults are the embedded model's.

    >>> SmallSamConfig.from_json(SmallSamConfig(image_size=256).to_json()).image_size
    256
    """

    image_size: int = 352
    embed_dim: int = 128
    neck_blocks: int = 2
    transformer_depth: int = 2
    transformer_heads: int = 4
    transformer_mlp_dim: int = 512
    mask_in_channels: int = 16
    iou_hidden_dim: int = 128

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> SmallSamConfig:
        """Raises TypeError or ValueError where ``text`` is not of this form."""
        return cls(**json.loads(text))


def build_small_sam(config: SmallSamConfig) -> Sam:
    """The small SAM with random weights, in eval mode."""
    encoder = LiteImageEncoder(config.image_size, config.embed_dim, config.neck_blocks)
    grid = config.image_size // encoder.stride
    sam = Sam(
        image_encoder=encoder,
        prompt_encoder=PromptEncoder(
            embed_dim=config.embed_dim,
            image_embedding_size=(grid, grid),
            input_image_size=(config.image_size, config.image_size),
            mask_in_chans=config.mask_in_channels,
            activation=nn.ReLU,
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(
                depth=config.transformer_depth,
                embedding_dim=config.embed_dim,
                mlp_dim=config.transformer_mlp_dim,
                num_heads=config.transformer_heads,
            ),
            transformer_dim=config.embed_dim,
            iou_head_depth=3,
            iou_head_hidden_dim=config.iou_hidden_dim,
            activation=nn.ReLU,  # at the masks' resolution GELU alone is an eighth of a CPU training step
        ),
        pixel_mean=list(encoder.trunk.pixel_mean),
        pixel_std=list(encoder.trunk.pixel_std),
    )
    return sam.eval()


def build_official_sam(kind: str) -> Sam:
    """``kind``: "vit_b", "vit_l" or "vit_h"; random weights, in eval mode."""
    network: nn.Module = sam_model_registry[kind](checkpoint=None)
    return network.eval()


def resize_input(sam: Sam, image_size: int) -> None:
    """Let a small SAM take padded squares of another side, a multiple of 32; its weights stay as they are."""
    grid = image_size // sam.image_encoder.stride
    sam.image_encoder.img_size = image_size
    sam.prompt_encoder.input_image_size = (image_size, image_size)
    sam.prompt_encoder.image_embedding_size = (grid, grid)
    sam.prompt_encoder.mask_input_size = (4 * grid, 4 * grid)
