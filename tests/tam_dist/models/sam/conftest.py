"""A SAM small enough for tests, of random weights, built by the same code as the embedded one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tam_dist.config import SegmentationConfig
from tam_dist.models.sam._torchvision_standin import torchvision_standin
from tam_dist.models.sam.build import Sam, SmallSamConfig, build_small_sam
from tam_dist.models.sam.segmenter import Segmenter
from tam_dist.types import UInt8Array

with torchvision_standin():
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, TwoWayTransformer


@pytest.fixture(scope="session")
def tiny_config() -> SmallSamConfig:
    return SmallSamConfig(
        image_size=64,
        embed_dim=16,
        neck_blocks=1,
        transformer_heads=2,
        transformer_mlp_dim=16,
        mask_in_channels=4,
        iou_hidden_dim=16,
    )


@pytest.fixture(scope="session")
def tiny_sam(tiny_config: SmallSamConfig) -> Sam:
    torch.manual_seed(0)
    return build_small_sam(tiny_config).requires_grad_(False)


@pytest.fixture
def segmenter(tiny_sam: Sam) -> Segmenter:
    return Segmenter(tiny_sam, SegmentationConfig(embedding_cache=2))


@pytest.fixture(scope="session")
def frame() -> UInt8Array:
    return np.random.default_rng(0).integers(0, 256, (48, 80, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def tiny_official_sam() -> Sam:
    """With the official model's own kind of image encoder."""
    torch.manual_seed(0)
    decoder = MaskDecoder(transformer_dim=16, transformer=TwoWayTransformer(depth=1, embedding_dim=16, mlp_dim=16, num_heads=2))
    encoder = ImageEncoderViT(img_size=64, embed_dim=16, depth=1, num_heads=2, out_chans=16)
    sam = Sam(encoder, PromptEncoder(16, (4, 4), (64, 64), 4), decoder)
    return sam.eval().requires_grad_(False)
