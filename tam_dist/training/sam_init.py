"""A start for the small SAM's mask decoder from which clicks matter at once.

SAM's decoder finds a click's place by attention between Fourier codes of positions. With random projections the codes of
near places do not match, and learning that they should took most of a short training: for hundreds of steps a second
click changed nothing. Here every cross-attention starts with queries and keys that read the same frequencies, so its
weights start as a bump around the click.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tam_dist.models.sam.build import Sam

_GAIN = 1.6  # the bump's peak logit is about 2 * gain² at 16 channels a head
_POINT_SCALE = 0.3  # of the point kinds' embeddings, whose unit variance would drown the position's code


@torch.no_grad()
def align_positions(sam: Sam) -> None:
    """Change the random weights of ``sam`` in place."""
    prompt_encoder, transformer = sam.prompt_encoder, sam.mask_decoder.transformer
    for embedding in (*prompt_encoder.point_embeddings, prompt_encoder.not_a_point_embed):
        embedding.weight.mul_(_POINT_SCALE)
    attentions = [transformer.final_attn_token_to_image]
    for layer in transformer.layers:
        attentions += [layer.cross_attn_token_to_image, layer.cross_attn_image_to_token]
    for number, attention in enumerate(attentions):
        selection = frequency_selection(attention.q_proj, attention.num_heads, offset=number)
        attention.q_proj.weight.add_(_GAIN * selection)
        attention.k_proj.weight.add_(_GAIN * selection)


def frequency_selection(projection: nn.Linear, heads: int, *, offset: int) -> Tensor:
    """(out, in) with a single 1 in each row: each head reads the sine and cosine of its own frequencies.

    The code of a position is all sines, then all cosines (``PositionEmbeddingRandom``), so a head's match of two positions
    is a sum of cosines of their difference, largest where they are equal.
    """
    frequencies = projection.in_features // 2
    half = projection.out_features // heads // 2
    selection = torch.zeros_like(projection.weight)
    for head in range(heads):
        for i in range(half):
            frequency = (offset * 7 + head * half + i) % frequencies
            selection[head * 2 * half + i, frequency] = 1
            selection[head * 2 * half + half + i, frequencies + frequency] = 1
    return selection
