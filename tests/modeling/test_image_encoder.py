"""SAM's image encoder against the reference implementation, also on frames that it cannot take."""

import copy
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from segment_anything.modeling import ImageEncoderViT as ReferenceEncoder

from sam_plugins.modeling import CONFIGS, ViTConfig, relative_attention
from sam_plugins.modeling.image_encoder import ImageEncoderViT
from sam_plugins.modeling.relative_attention import (
    attend_at_once,
    grid_attention,
    relative_positions,
)

TOLERANCE = 1e-4
# The released widths and heads, two blocks: one with windows, one global. All twelve blocks of a
# ViT-B are compared in tests/compat/test_predictor.py.
SHALLOW = {
    name: replace(CONFIGS[name].encoder, depth=2, global_attention=(1,))
    for name in ("vit_b", "vit_l", "vit_h")
}
NARROW = ViTConfig(embed_dim=32, depth=3, num_heads=2, global_attention=(1,))


def reference(config, frame_size):
    return ReferenceEncoder(
        depth=config.depth,
        embed_dim=config.embed_dim,
        img_size=frame_size,
        mlp_ratio=4,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        num_heads=config.num_heads,
        patch_size=16,
        qkv_bias=True,
        use_rel_pos=True,
        global_attn_indexes=config.global_attention,
        window_size=14,
        out_chans=256,
    ).eval()


def pair(config, frame_size, randomize):
    """Both encoders with the same random weights."""
    ours = randomize(ImageEncoderViT(config, img_size=frame_size))
    theirs = reference(config, frame_size)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    return ours, theirs


def frames(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def resized_positions(positions, height, width):
    """Positional embeddings (1, grid, grid, D) resized by Pillow, one channel after the other."""
    channels = [
        np.asarray(Image.fromarray(channel).resize((width, height), Image.Resampling.BICUBIC))
        for channel in positions[0].permute(2, 0, 1).contiguous().numpy()
    ]
    return torch.from_numpy(np.stack(channels, axis=-1))[None]


@pytest.mark.slow
def test_two_blocks_of_vit_h_at_full_size_equal_the_reference(randomize, relative_error):
    ours, theirs = pair(SHALLOW["vit_h"], 1024, randomize)
    image = frames(1, 3, 1024, 1024)
    with torch.inference_mode():
        assert relative_error(ours(image), theirs(image)) <= TOLERANCE


@pytest.mark.parametrize("name", SHALLOW)
def test_two_blocks_equal_the_reference(name, randomize, relative_error):
    ours, theirs = pair(SHALLOW[name], 256, randomize)
    image = frames(2, 3, 256, 256)
    with torch.inference_mode():
        assert relative_error(ours(image), theirs(image)) <= TOLERANCE


@pytest.mark.parametrize("frame_size", [112, 224, 240, 1024])
def test_frames_with_and_without_padding_equal_the_reference(frame_size, randomize, relative_error):
    """Of 7, 14 and 15 tokens a side, and of so many that attention is computed in pieces."""
    ours, theirs = pair(NARROW, frame_size, randomize)
    image = frames(1, 3, frame_size, frame_size)
    with torch.inference_mode():
        assert relative_error(ours(image), theirs(image)) <= TOLERANCE


@pytest.mark.parametrize(("height", "width"), [(512, 512), (256, 640), (1024, 496), (1280, 1280)])
def test_other_frames_equal_the_reference_with_resized_positions(
    height, width, randomize, relative_error
):
    """The reference resizes relative positions itself; absolute ones it gets from Pillow."""
    ours, theirs = pair(NARROW, 1024, randomize)
    theirs.pos_embed = torch.nn.Parameter(
        resized_positions(theirs.pos_embed.detach(), height // 16, width // 16)
    )
    image = frames(1, 3, height, width)
    with torch.inference_mode():
        assert relative_error(ours(image), theirs(image)) <= TOLERANCE


def test_a_smaller_frame_equals_a_reference_built_for_it(randomize, relative_error):
    """With both kinds of positions resized by Pillow and by numpy."""
    ours, wide = pair(NARROW, 1024, randomize)
    theirs = reference(NARROW, 512)
    state = wide.state_dict()
    state["pos_embed"] = resized_positions(state["pos_embed"], 32, 32)
    for name, table in theirs.state_dict().items():
        stored = state[name]
        if "rel_pos" in name and len(stored) != len(table):
            centres = (np.arange(len(table)) + 0.5) * len(stored) / len(table) - 0.5
            columns = [
                np.interp(centres, np.arange(len(stored)), column) for column in stored.T.numpy()
            ]
            state[name] = torch.from_numpy(np.stack(columns, axis=1)).float()
    theirs.load_state_dict(state, strict=True)
    image = frames(1, 3, 512, 512)
    with torch.inference_mode():
        assert relative_error(ours(image), theirs(image)) <= TOLERANCE


def test_the_way_with_gradients_equals_the_reference_and_so_do_the_gradients(
    randomize, relative_error
):
    ours, theirs = pair(NARROW, 240, randomize)
    image = frames(1, 3, 240, 240)
    weights = frames(1, 256, 15, 15, seed=1)
    results = []
    for encoder in (ours, theirs):
        embedding = encoder(image)
        (embedding * weights).sum().backward()
        results.append((embedding.detach(), {n: p.grad for n, p in encoder.named_parameters()}))
    (mine, gradients), (other, expected) = results
    assert relative_error(mine, other) <= TOLERANCE
    for name, gradient in expected.items():
        assert relative_error(gradients[name], gradient) <= 1e-3, name


def test_a_batch_equals_its_images_one_by_one(randomize, relative_error):
    encoder = randomize(ImageEncoderViT(NARROW, img_size=256))
    images = frames(3, 3, 256, 320)
    with torch.inference_mode():
        together = encoder(images)
        one_by_one = torch.cat([encoder(image) for image in images.split(1)])
    assert relative_error(together, one_by_one) <= 1e-5


def test_the_image_may_lie_in_memory_in_any_order(randomize):
    encoder = randomize(ImageEncoderViT(NARROW, img_size=128))
    image = frames(1, 3, 128, 128)
    with torch.inference_mode():
        expected = encoder(image)
        torch.testing.assert_close(
            encoder(image.to(memory_format=torch.channels_last)), expected, rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_close(dtype, randomize, relative_error):
    encoder = randomize(ImageEncoderViT(NARROW, img_size=256))
    image = frames(1, 3, 256, 256)
    with torch.inference_mode():
        expected = encoder(image)
        half = copy.deepcopy(encoder).to(dtype)(image)
        with torch.autocast("cpu", dtype=dtype):
            automatic = encoder(image)
    assert half.dtype == dtype
    for result in (half, automatic):
        assert 0 < relative_error(result, expected) < 0.05


@pytest.mark.parametrize(
    "shape", [(1, 3, 1000, 1024), (1, 3, 1024, 1000), (1, 1, 64, 64), (3, 64, 64)]
)
def test_a_frame_that_does_not_fit_is_refused(shape):
    encoder = ImageEncoderViT(NARROW, img_size=64)
    with pytest.raises(ValueError, match=r"multiples of 16, got \("):
        encoder(torch.zeros(shape))


def test_relative_positions_are_those_of_the_distances():
    table = torch.arange(7.0)[:, None]  # distances -3 .. 3
    expected = [[3 + query - key for key in range(4)] for query in range(4)]
    assert relative_positions(table, 4)[..., 0].tolist() == expected


@pytest.mark.parametrize("pairs", [2**21, 2 * 45**2, 100])  # all at once, by heads, by queries
def test_attention_in_half_precision_is_that_in_float32(pairs, relative_error, monkeypatch):
    monkeypatch.setattr(relative_attention, "FOLDED_PAIRS", pairs)
    height, width, heads, head_dim = 5, 9, 3, 8
    qkv = frames(4, height, width, 3 * heads * head_dim)
    tables = [frames(2 * side - 1, head_dim, seed=side) for side in (height, width)]
    with torch.inference_mode():
        expected = grid_attention(qkv, heads, *tables)
        half = grid_attention(qkv.bfloat16(), heads, *(table.bfloat16() for table in tables))
        swapped = grid_attention(qkv, heads, *(table.flip(0) for table in tables))
    assert 0 < relative_error(half, expected) < 0.02
    # The positions matter that much here.
    assert relative_error(swapped, expected) > 0.2


# A window of ViT-B, one of ViT-H (108 channels, no multiple of 8), and a rectangular grid.
@pytest.mark.parametrize(
    ("grid", "heads", "head_dim"), [((14, 14), 3, 64), ((14, 14), 2, 80), ((5, 9), 3, 8)]
)
def test_the_bias_folded_in_is_the_bias_added(grid, heads, head_dim, relative_error, monkeypatch):
    qkv = frames(2, *grid, 3 * heads * head_dim)
    tables = [frames(2 * side - 1, head_dim, seed=side) for side in grid]
    expected = grid_attention(qkv, heads, *tables)  # with gradients: the bias form
    given = []

    def in_pieces(*arguments):
        given.append(arguments)
        return attend_at_once(*arguments)

    monkeypatch.setattr(relative_attention, "_attend_in_pieces", in_pieces)
    with torch.inference_mode():
        folded = grid_attention(qkv, heads, *tables)
        q, k, v, bias_h, bias_w = given[0]
        without = attend_at_once(q, k, v, bias_h, 0 * bias_w)
    assert relative_error(folded, expected) < 1e-5
    # The positions matter that much here.
    assert relative_error(without.reshape(expected.shape), expected) > 0.1


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_bias_folded_in_on_a_gpu(dtype, relative_error):
    qkv = frames(2, 14, 14, 3 * 4 * 80).cuda()
    tables = [frames(27, 80, seed=seed).cuda() for seed in (1, 2)]
    with torch.inference_mode():
        expected = grid_attention(qkv, 4, *tables)
        half = grid_attention(qkv.to(dtype), 4, *(table.to(dtype) for table in tables))
    assert 0 < relative_error(half, expected) < 0.02
