"""Weight files: what is written comes back; what is damaged or foreign is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tam_dist.errors import WeightsError
from tam_dist.models.sam import weights
from tam_dist.models.sam.build import Sam, SmallSamConfig, build_official_sam
from tam_dist.models.sam.weights import load_sam, save_sam


def test_round_trip(tiny_sam: Sam, tiny_config: SmallSamConfig, tmp_path: Path) -> None:
    save_sam(tiny_sam, tiny_config, tmp_path / "sam.safetensors")
    loaded = load_sam(tmp_path / "sam.safetensors")
    assert loaded.image_encoder.img_size == tiny_config.image_size
    assert not loaded.training
    for name, tensor in tiny_sam.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], tensor.half().float(), rtol=0, atol=0)
    assert [path.name for path in tmp_path.iterdir()] == ["sam.safetensors"]


def test_official_file_is_recognised_by_its_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With a two-block ViT in place of vit_b: the real one is 375 MB, and building it takes seconds."""
    from segment_anything.modeling import ImageEncoderViT

    def tiny_official(kind: str) -> Sam:
        assert kind == "vit_b"
        sam = build_official_sam_without_encoder()
        sam.image_encoder = ImageEncoderViT(img_size=32, embed_dim=8, depth=12, num_heads=2, out_chans=256)
        return sam

    monkeypatch.setattr(weights, "build_official_sam", tiny_official)
    torch.manual_seed(0)
    original = tiny_official("vit_b")
    torch.save(original.state_dict(), tmp_path / "any-name.pth")
    loaded = load_sam(tmp_path / "any-name.pth")
    for name, tensor in original.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], tensor, rtol=0, atol=0)


def build_official_sam_without_encoder() -> Sam:
    from segment_anything.modeling import MaskDecoder, PromptEncoder, TwoWayTransformer

    transformer = TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=64, num_heads=8)
    return Sam(
        torch.nn.Identity(), PromptEncoder(256, (2, 2), (32, 32), 16), MaskDecoder(transformer_dim=256, transformer=transformer)
    )


@pytest.mark.parametrize(("kind", "blocks"), [("vit_b", 12), ("vit_l", 24), ("vit_h", 32)])
def test_official_builds_have_the_published_depth(kind: str, blocks: int) -> None:
    with torch.device("meta"):
        sam = build_official_sam(kind)
    assert len(sam.image_encoder.blocks) == blocks
    assert weights._encoder_depth(sam.state_dict()) == blocks


def test_damaged_and_foreign_files_are_named(tiny_sam: Sam, tiny_config: SmallSamConfig, tmp_path: Path) -> None:
    save_sam(tiny_sam, tiny_config, tmp_path / "good.safetensors")
    good = (tmp_path / "good.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(good[: len(good) // 2])
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "text.pth").write_text("<html>404 Not Found</html>")
    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    torch.save({"key_encoder.conv1.weight": torch.zeros(3)}, tmp_path / "xmem.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    for name in ("cut.safetensors", "empty.pth", "text.pth", "other.safetensors", "xmem.pth", "list.pth", "absent.pth"):
        with pytest.raises(WeightsError, match=name):
            load_sam(tmp_path / name)


def test_pickled_code_is_never_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("executed",)

    torch.save(Evil(), tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match=r"evil\.pth"):
        load_sam(tmp_path / "evil.pth")


def test_another_widths_file_is_refused(tiny_sam: Sam, tmp_path: Path) -> None:
    save_sam(tiny_sam, SmallSamConfig(image_size=64, embed_dim=32), tmp_path / "widths.safetensors")
    with pytest.raises(WeightsError, match=r"widths\.safetensors"):
        load_sam(tmp_path / "widths.safetensors")
