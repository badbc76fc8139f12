"""The two-way transformer with its image side in bfloat16 by compiled kernels, and in float32."""

import copy

import numpy as np
import pytest
import torch
from numba import njit
from torch import nn

from sam_plugins.modeling.kernels import processor
from sam_plugins.modeling.kernels.bfloat16 import two_way
from sam_plugins.modeling.mask_decoder import MaskDecoder
from sam_plugins.modeling.two_way_transformer import TwoWayTransformer


def draw(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def make_transformer(dim=64, heads=4, std=None):
    torch.manual_seed(0)
    transformer = TwoWayTransformer(2, dim, heads, 128).eval()
    for parameter in transformer.parameters():
        nn.init.normal_(parameter, std=std or dim**-0.5)
    return transformer


def tokens_of(maps):
    return maps.flatten(2).transpose(1, 2).contiguous()


def compare(transformer, images, positions, tokens):
    """Relative errors of tokens and image tokens, and the kernels' own results."""
    with torch.inference_mode():
        assert two_way.suits(transformer, images, tokens.shape[1])
        found = two_way.run(transformer, tokens_of(images), tokens_of(positions)[0], tokens)
        prompts = images.expand(len(tokens), -1, -1, -1)
        expected = transformer(prompts, positions, tokens)
    assert [each.dtype for each in found] == [torch.float32, torch.bfloat16]
    errors = [(x - y).norm() / y.norm() for x, y in zip(found, expected, strict=True)]
    return errors, found


@pytest.mark.parametrize("heads", [1, 2, 4, 8])
def test_rows_are_shared_among_the_tokens_of_each_head(heads):
    from sam_plugins.modeling.kernels.bfloat16._crossing import share_rows

    @njit
    def share(weights, offsets):
        share_rows(weights, len(weights), weights.shape[1], heads, offsets)

    columns = 64
    weights, offsets = (5 * draw(*shape, seed=2).numpy() for shape in ((33, columns), (columns,)))
    offsets[-2 * heads :] = -np.inf
    powers = np.exp2((weights + offsets).astype(float)).reshape(33, -1, heads)
    expected = (powers / powers.sum(axis=1, keepdims=True)).reshape(33, columns)
    share(weights, offsets)
    np.testing.assert_allclose(weights, expected, atol=5e-7)


def test_columns_are_weighed_piece_by_piece():
    from sam_plugins.modeling.kernels.bfloat16._crossing import share_columns

    @njit
    def share(weights, *state):
        share_columns(weights, len(weights), weights.shape[1], *state)

    pieces = [(9 * draw(rows, 32, seed=rows)).numpy() for rows in (5, 32, 1)]
    whole = np.concatenate(pieces).astype(float)
    largest, totals = np.full(32, -np.inf, np.float32), np.zeros(32, np.float32)
    shrinking, sums = np.empty(32, np.float32), np.zeros(32)
    for piece in pieces:
        share(piece, largest, totals, shrinking)
        sums = sums * shrinking + piece.sum(axis=0)
    np.testing.assert_array_equal(largest, whole.max(axis=0).astype(np.float32))
    expected = np.exp2(whole - whole.max(axis=0)).sum(axis=0)
    np.testing.assert_allclose(totals, expected, rtol=2e-6)
    np.testing.assert_allclose(sums, expected, rtol=2e-6)


@pytest.mark.parametrize(("dim", "heads"), [(64, 4), (128, 8), (256, 8), (64, 2)])
@pytest.mark.parametrize("grid", [(8, 8), (4, 8), (16, 34), (64, 64)])
@pytest.mark.parametrize("tokens", [5, 7, 32])
def test_the_result_is_that_of_float32(dim, heads, grid, tokens):
    transformer = make_transformer(dim, heads)
    images, positions = draw(1, dim, *grid), draw(1, dim, *grid, seed=2)
    errors, _ = compare(transformer, images, positions, draw(2, tokens, dim, seed=3))
    assert errors[0] < 2e-3
    assert errors[1] < 4e-3  # rounded once more: 2 ** -9 at most of each number


def test_each_prompt_may_be_about_an_image_of_its_own():
    transformer, grid = make_transformer(), (8, 12)
    images, positions = draw(3, 64, *grid), draw(1, 64, *grid, seed=2)
    errors, found = compare(transformer, images, positions, draw(3, 6, 64, seed=3))
    assert max(errors) < 4e-3
    for i in range(3):
        _, one = compare(transformer, images[i : i + 1], positions, draw(3, 6, 64, seed=3)[i:][:1])
        for all_, alone in zip(found, one, strict=True):
            torch.testing.assert_close(all_[i : i + 1], alone, rtol=1e-2, atol=1e-4)


def test_what_was_given_stays():
    transformer, keys = make_transformer(), tokens_of(draw(1, 64, 8, 8)).bfloat16()
    positions, tokens = draw(64, 64, seed=2).bfloat16(), draw(2, 6, 64, seed=3)
    before = [each.clone() for each in (keys, positions, tokens)]
    with torch.inference_mode():
        two_way.run(transformer, keys, positions, tokens)
    assert all(map(torch.equal, before, (keys, positions, tokens)))


def test_weights_of_any_size_can_be_shared_out():
    """Scores in the thousands, of which the largest takes all."""
    transformer = make_transformer(std=2.0)
    with torch.inference_mode():
        found = two_way.run(
            transformer, 10 * tokens_of(draw(1, 64, 8, 8)), draw(64, 64), 10 * draw(2, 6, 64)
        )
    assert all(each.isfinite().all() for each in found)


def test_any_number_of_threads_gives_the_same():
    transformer, before, results = make_transformer(), torch.get_num_threads(), []
    images, positions = draw(1, 64, 32, 40), draw(1, 64, 32, 40, seed=2)
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(compare(transformer, images, positions, draw(2, 6, 64, seed=3))[1])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        torch.testing.assert_close(other[1], results[0][1], rtol=0, atol=0)


def test_only_plain_layers_in_float32_are_suited(monkeypatch):
    transformer, image = make_transformer(), draw(1, 64, 8, 8)
    with torch.inference_mode():
        assert two_way.suits(transformer, image, 7)
        assert not two_way.suits(transformer, image, 33)
        assert not two_way.suits(transformer, image[..., :7], 7)
        assert not two_way.suits(transformer, image.bfloat16(), 7)
        assert not two_way.suits(copy.deepcopy(transformer).bfloat16(), image, 7)
        adapted = copy.deepcopy(transformer)
        attention = adapted.layers[1].cross_attn_token_to_image
        attention.v_proj = nn.Sequential(attention.v_proj)
        assert not two_way.suits(adapted, image, 7)
        monkeypatch.setattr(processor, "multiplies_bfloat16", lambda: False)
        assert not two_way.suits(transformer, image, 7)
    monkeypatch.setattr(processor, "multiplies_bfloat16", lambda: True)
    assert not two_way.suits(transformer, image, 7)  # with gradients


@pytest.fixture(scope="module")
def decoder():
    return MaskDecoder(transformer_dim=256, transformer=make_transformer(256, 8)).eval()


@pytest.mark.parametrize("prompts", [1, 3, 11])
@pytest.mark.parametrize("mask", [True, False])
def test_masks_are_close_to_those_in_float32(prompts, mask, decoder):
    dense = draw(prompts, 256, 8, 8, seed=4) if mask else draw(1, 256, 1, 1, seed=4)
    given = (
        draw(1, 256, 8, 8),
        draw(1, 256, 8, 8, seed=2),
        draw(prompts, 2, 256, seed=3),
        dense.expand(prompts, 256, 8, 8),
    )
    with torch.inference_mode():
        expected, expected_iou = decoder(*given, multimask_output=True)
        for _ in range(2):  # from nothing, and with what was kept of the image
            masks, iou = decoder(*given, multimask_output=True, precision=torch.bfloat16)
            assert masks.shape == expected.shape == (prompts, 3, 32, 32)
            assert 0 < (masks - expected).norm() / expected.norm() < 0.02
            assert (iou - expected_iou).norm() / expected_iou.norm() < 0.01
        again, _ = decoder(*given, multimask_output=True)
    assert torch.equal(again, expected)  # what was kept in bfloat16 is not used for float32
