"""Training of the small SAM: batched decoding equals segment-anything's, losses, resuming, and that it learns something."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tam_dist.errors import ConfigError
from tam_dist.models.precision import Precision, fastest
from tam_dist.models.sam.build import SmallSamConfig, build_small_sam, resize_input
from tam_dist.models.sam.weights import load_sam, save_sam
from tam_dist.training.image_data import choose_heldout, list_stills, make_training_image
from tam_dist.training.layers import Picture
from tam_dist.training.packed import LabelledPicture, PictureGroup, pack
from tam_dist.training.sam import SamTrainer, TrainingConfig, decode_images, load_items, load_training_config
from tam_dist.training.sam_init import align_positions
from tam_dist.training.sam_losses import mask_losses, sam_loss, true_ious

ROOT = Path(__file__).resolve().parents[3]
TINY = [f"model.{key}" for key in ("image_size=64", "embed_dim=16", "neck_blocks=1", "transformer_heads=2")] + [
    "model.transformer_mlp_dim=16",
    "model.mask_in_channels=4",
    "stages=[{start: 0.0, image_size: 64}]",
    "imagenet_trunk=false",
    "precision=fp32",
]


@pytest.fixture
def stills(tmp_path: Path) -> Path:
    """Discs of one colour on a ground of another: as easy as segmentation gets."""
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    ys, xs = np.indices((48, 64))
    for i in range(6):
        labels = np.zeros((48, 64), np.uint8)
        labels[(ys - rng.integers(12, 36)) ** 2 + (xs - rng.integers(12, 52)) ** 2 < 100] = 1
        labels[:2] = 255
        image = np.where(labels[..., None] == 1, [220, 40, 40], [40, 80, 200]).astype(np.uint8)
        Image.fromarray(image).save(tmp_path / "images" / f"{i}.jpg")
        Image.fromarray(labels).save(tmp_path / "masks" / f"{i}.png")
    (tmp_path / "heldout.txt").write_text("0\n")
    return tmp_path


def config(stills: Path, **overrides: object) -> TrainingConfig:
    given = [f"data.stills={stills}", f"data.heldout={stills / 'heldout.txt'}", f"output={stills / 'run'}", *TINY]
    return load_training_config(str(ROOT / "configs/training/sam.yaml"), given + [f"{k}={v}" for k, v in overrides.items()])


def test_batched_decoding_equals_the_official_decoder() -> None:
    torch.manual_seed(0)
    sam = build_small_sam(SmallSamConfig(image_size=64, embed_dim=16, transformer_heads=2, transformer_mlp_dim=16))
    embeddings, masks = torch.randn(2, 16, 4, 4), torch.randn(6, 1, 16, 16)
    points = (torch.rand(6, 2, 2) * 64, torch.ones(6, 2, dtype=torch.int))
    with torch.no_grad():
        sparse, dense = sam.prompt_encoder(points=points, boxes=None, masks=masks)
        logits, ious = decode_images(sam, embeddings, sparse, dense)
        for i in range(2):
            part = slice(3 * i, 3 * i + 3)
            expected = sam.mask_decoder.predict_masks(
                embeddings[i : i + 1], sam.prompt_encoder.get_dense_pe(), sparse[part], dense[part]
            )
            torch.testing.assert_close((logits[part], ious[part]), expected, rtol=1e-4, atol=1e-5)


def test_aligned_attention_looks_at_the_click() -> None:
    torch.manual_seed(0)
    sam = build_small_sam(SmallSamConfig(image_size=256))
    align_positions(sam)
    attention = sam.mask_decoder.transformer.layers[0].cross_attn_token_to_image
    code = sam.prompt_encoder.get_dense_pe()[0].flatten(1).T
    query, keys = attention.q_proj(code[5 * 16 + 9]), attention.k_proj(code)
    assert int((keys @ query).argmax()) == 5 * 16 + 9


def test_losses_prefer_the_truth_and_ignore_the_unknown() -> None:
    targets, known = torch.zeros(1, 8, 8), torch.ones(1, 8, 8)
    targets[:, 2:6, 2:6] = 1
    right = (targets * 2 - 1)[:, None] * 8
    assert float(mask_losses(right, targets, known)) < 0.05 < float(mask_losses(-right, targets, known))
    assert float(true_ious(right, targets, known)) == 1.0
    known[:, :2] = 0
    spilled = right.clone()
    spilled[:, :, :2] = 8
    assert float(true_ious(spilled, targets, known)) == 1.0
    torch.testing.assert_close(mask_losses(spilled, targets, known), mask_losses(right, targets, known))


def test_only_the_best_alternative_is_taught() -> None:
    targets, known = torch.zeros(1, 8, 8), torch.ones(1, 8, 8)
    targets[:, 2:6, 2:6] = 1
    sign = (targets * 2 - 1)[:, None]
    logits = torch.cat([sign, sign * 2, -sign, -sign], dim=1).requires_grad_()
    loss, ious = sam_loss(logits, torch.zeros(1, 4), targets, known, single=0.3)
    loss.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert (logits.grad.abs().sum((0, 2, 3)) > 0).tolist() == [True, True, False, False]
    assert ious.tolist() == [[1.0, 1.0, 0.0, 0.0]]


@pytest.mark.parametrize("tiles", [1, 2, 4])
def test_views_keep_picture_and_labels_together(stills: Path, tiles: int) -> None:
    items = list_stills(stills)
    for seed in range(5):
        view = make_training_image(items[:tiles], 64, 3, np.random.default_rng(seed))
        assert view is not None
        assert view.image.shape == (64, 64, 3)
        assert view.targets.shape == (3, 16, 16)
        assert not view.targets[:, (view.extent[0] + 3) // 4 :].any()
        red = view.image[2::4, 2::4].astype(int)
        for target in view.targets:
            inside = red[(target > 0.99) & (view.known > 0.99)]
            if len(inside):  # a disc is red throughout, its ground blue throughout
                assert np.ptp(np.sign(inside[:, 0] - inside[:, 2])) == 0


def test_heldout_images_are_never_trained_on(stills: Path) -> None:
    names = {item.name for item in load_items(config(stills).data)}
    assert names == {"1", "2", "3", "4", "5"}
    (stills / "heldout.txt").unlink()
    with pytest.raises(ConfigError, match=r"heldout\.txt"):
        load_items(config(stills).data)


def test_packed_copies_of_heldout_images_are_never_trained_on(stills: Path, tmp_path: Path) -> None:
    square = np.zeros((40, 40), np.uint8)
    square[10:20, 10:20] = 1
    picture = LabelledPicture(Picture(np.full((40, 40, 3), 90, np.uint8), square), ("cat",))
    names = ["train2017/000000000094.jpg", "train2017/000000000095.jpg", "images/Abyssinian_94.jpg"]
    pack([PictureGroup(name, [picture]) for name in names], tmp_path / "cache" / "pets", short_side=32)
    (stills / "heldout.txt").write_text("coco_train2017_000000000094\n")
    items = load_items(config(stills, **{"data.cache": tmp_path / "cache", "data.packed": "[pets]"}).data)
    assert [item.name for item in items if not item.name.isdigit() or len(item.name) > 1] == ["000000000095", "Abyssinian_94"]
    image, labels = items[-1].read()
    assert image.shape == (32, 32, 3)
    assert set(np.unique(labels)) == {0, 1}


def test_heldout_choice_is_stable_when_images_are_added() -> None:
    names = [f"n{i}" for i in range(100)]
    small, large = set(choose_heldout(names, 20)), set(choose_heldout([*names, "extra"], 20))
    assert len(small & large) >= 19


def test_training_resumes_and_learns(stills: Path) -> None:
    torch.manual_seed(0)
    first = config(stills, max_steps=2, images_per_step=1, prompts_per_image=2, minutes=1000)
    items = load_items(first.data)
    SamTrainer(first).run(items)
    trainer = SamTrainer(
        config(stills, max_steps=50, images_per_step=1, prompts_per_image=2, minutes=1000, learning_rate=0.003)
    )
    assert trainer.step == 2
    rng = np.random.default_rng(0)
    view = make_training_image(items[:1], 64, 4, rng)
    assert view is not None
    resize_input(trainer.sam, 64)

    def loss() -> float:
        return float(np.mean([trainer._loss([view], np.random.default_rng(i))[0].item() for i in range(4)]))

    before = loss()
    trainer.run(items)
    assert trainer.step == 50
    assert loss() < before
    line = json.loads((stills / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert line["step"] == 50
    assert load_sam(stills / "run" / "sam.safetensors").image_encoder.img_size == 64


def test_a_run_of_so_many_steps_can_be_made_again(stills: Path) -> None:
    """Minutes spent differ from run to run, and with them the learning rate; steps don't."""
    trained = []
    for name in ("one", "other"):
        settings = config(stills, max_steps=3, images_per_step=1, prompts_per_image=2, minutes=1e-9, output=stills / name)
        trainer = SamTrainer(settings)
        trainer.run(load_items(settings.data))
        assert (trainer.step, trainer.progress) == (3, 1.0)
        trained.append(load_sam(stills / name / "sam.safetensors").state_dict())
    assert all(torch.equal(tensor, trained[1][name]) for name, tensor in trained[0].items())


@pytest.mark.skipif(fastest("cpu") is not Precision.BF16, reason="this processor does not calculate in bf16")
def test_bf16_has_nearly_the_same_loss(stills: Path) -> None:
    losses = []
    for precision in ("fp32", "bf16"):
        trainer = SamTrainer(config(stills, precision=precision, output=stills / precision))
        view = make_training_image(load_items(trainer.config.data)[:1], 64, 4, np.random.default_rng(0))
        assert view is not None
        resize_input(trainer.sam, 64)
        loss = trainer._loss([view], np.random.default_rng(0))[0]
        assert loss.dtype == torch.float32
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.item())
    assert losses[0] != losses[1]
    assert abs(losses[0] - losses[1]) < 0.05 * losses[0]


def test_training_goes_on_from_given_weights(stills: Path) -> None:
    size = config(stills).model
    save_sam(build_small_sam(size), size, stills / "given.safetensors")
    trainer = SamTrainer(config(stills, start=stills / "given.safetensors", output=stills / "further"))
    stored = load_sam(stills / "given.safetensors").state_dict()
    assert all(torch.equal(tensor, stored[name]) for name, tensor in trainer.sam.state_dict().items())


def test_configuration_errors_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("no_such_key: 1\n")
    with pytest.raises(ConfigError, match=r"bad\.yaml"):
        load_training_config(str(tmp_path / "bad.yaml"), [])
    with pytest.raises(ConfigError, match=r"absent\.yaml"):
        load_training_config(str(tmp_path / "absent.yaml"), [])
