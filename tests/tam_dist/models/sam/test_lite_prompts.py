"""Clicks and boxes drawn into the small SAM's mask prompt."""

from __future__ import annotations

import torch

from tam_dist.models.sam.lite_prompts import draw_hints


def test_clicks_are_discs_where_they_were_made() -> None:
    points = torch.tensor([[[20.0, 40.0], [100.0, 60.0]], [[128.0, 12.0], [0.0, 0.0]]])
    labels = torch.tensor([[1, 0], [1, -1]])
    plane = draw_hints((points, labels), None, None, 64)
    assert plane.shape == (2, 1, 64, 64)
    assert plane[0, 0, 10, 5] > 0  # y = 40, x = 20 at four pixels a cell
    assert plane[0, 0, 15, 25] < 0
    assert plane[1, 0, 3, 32] > 0
    assert plane[1, 0, 0, 0] == 0  # label -1: no point
    assert 0 < (plane[1] != 0).sum() < 20


def test_clicks_stand_out_of_a_certain_mask_and_the_last_wins() -> None:
    masks = torch.full((1, 1, 16, 16), -50.0)
    points = torch.tensor([[[30.0, 30.0], [30.0, 30.0]]])
    plane = draw_hints((points, torch.tensor([[0, 1]])), None, masks, 16)[0, 0]
    assert plane[7, 7] > 3 * -plane[0, 0] > 0


def test_boxes_are_filled_unless_there_is_a_mask() -> None:
    boxes = torch.tensor([[8.0, 16.0, 40.0, 24.0]])
    plane = draw_hints(None, boxes, None, 16)[0, 0]
    assert (plane > 0).nonzero().amin(0).tolist() == [4, 2]
    assert (plane > 0).nonzero().amax(0).tolist() == [5, 9]
    masks = torch.full((1, 1, 16, 16), 2.0)
    assert (draw_hints(None, boxes, masks, 16) > 0).all()


def test_each_prompt_by_itself() -> None:
    torch.manual_seed(0)
    points, labels = torch.rand(3, 4, 2) * 64, torch.randint(-1, 2, (3, 4))
    masks = torch.randn(3, 1, 16, 16)
    together = draw_hints((points, labels), None, masks, 16)
    for i in range(3):
        alone = draw_hints((points[i : i + 1], labels[i : i + 1]), None, masks[i : i + 1], 16)
        torch.testing.assert_close(alone, together[i : i + 1], rtol=0, atol=0)
