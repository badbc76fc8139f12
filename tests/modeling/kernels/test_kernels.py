"""The compiled parts against numpy and PyTorch; they run wherever AVX2 does."""

import numpy as np
import pytest
import torch
from numba import njit
from torch.nn import functional

from sam_plugins.modeling.kernels import _attention, _elementwise, _products, _softmax, _tiles
from sam_plugins.modeling.kernels._vectors import LANES
from sam_plugins.modeling.relative_attention import grid_attention, relative_positions

pytestmark = pytest.mark.usefixtures("avx2")


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("rows", [12, 13, 17, 23, 50])
@pytest.mark.parametrize(("depth", "groups", "width"), [(1, 1, 32), (37, 2, 64), (64, 3, 32)])
def test_products_are_those_of_numpy(rows, depth, groups, width):
    a, weight = normal(rows + 5, depth), normal(groups * width, depth, seed=1)
    panels = np.empty((groups * width // _tiles.COLUMNS, depth, _tiles.COLUMNS), np.float32)
    _products.pack(weight, 0, len(panels), panels)
    np.testing.assert_array_equal(panels, _products.in_panels(weight))
    out = np.full((groups, rows + 9, width), np.nan, np.float32)
    _products.multiply(a, 2, rows, panels, out, 4)
    expected = (a[2 : 2 + rows].astype(np.float64) @ weight.T).reshape(rows, groups, width)
    np.testing.assert_allclose(out[:, 4 : 4 + rows], expected.swapaxes(0, 1), atol=2e-5)
    assert np.isnan(out[:, :4]).all()
    assert np.isnan(out[:, 4 + rows :]).all()


def test_panels_are_filled_up_with_zeros():
    panels = _products.in_panels(normal(2, 20, 3))
    count = -(-20 // _tiles.COLUMNS)
    assert panels.shape == (2, count, 3, _tiles.COLUMNS)
    columns = panels.swapaxes(2, 3).reshape(2, -1, 3)
    assert columns[:, :20].all()
    assert not columns[:, 20:].any()


@njit
def shares_of(weights, most):
    return _softmax.share_line(weights, 0, len(weights), most)


def test_powers_are_exact_to_their_last_digits():
    weights = -np.geomspace(1e-8, 125, 2**16, dtype=np.float32)
    found = weights.copy()
    sum_of_all = shares_of(found, np.float32(0))
    expected = np.exp2(weights.astype(np.float64))
    np.testing.assert_allclose(found, expected, rtol=2e-7)
    assert sum_of_all == pytest.approx(expected.sum(), rel=1e-5)


def test_what_is_far_below_has_no_share():
    weights = np.full(32, -np.inf, np.float32)
    weights[:5] = 7, -120, -130, -1e30, 6
    assert shares_of(weights, np.float32(7)) == 1.5
    assert weights[0] == 1
    assert weights[4] == 0.5
    assert (weights[[1, 2, 3, *range(5, 32)]] < 2e-38).all()


@pytest.mark.parametrize("vectors", [1, 3])
def test_weights_are_scaled_and_their_largest_is_known(vectors):
    @njit
    def run(weights, scale, bias_h, bias_w, most):
        rows, wide = len(bias_h) - 1, len(bias_w) - 4
        return _softmax.weigh_line(weights, 2, rows, wide, scale, bias_h, 1, bias_w, 4, most)

    wide = vectors * LANES
    weights, bias_h, bias_w = normal(2 + 3 * wide), normal(4, seed=1), normal(4 + wide, seed=2)
    expected = weights[2:].reshape(3, wide) * 0.3 + bias_h[1:, None] + bias_w[4:]
    most = run(weights, np.float32(0.3), bias_h, bias_w, np.float32(-np.inf))
    np.testing.assert_allclose(weights[2:].reshape(3, wide), expected, atol=1e-6)
    assert most == weights[2:].max()
    assert run(weights, np.float32(0.3), bias_h, bias_w, np.float32(99)) == 99


def test_gelu_of_a_sum_is_that_of_pytorch():
    x, bias = normal(7, 3008) * 4, normal(3008, seed=1)
    expected = functional.gelu(torch.from_numpy((x + bias).astype(np.float64)))
    _elementwise.gelu_of_sum(x, bias)
    np.testing.assert_allclose(x, expected, atol=1e-6)


def test_layer_norm_is_that_of_pytorch():
    x, weight, bias = normal(9, 768) * 3 + 5, normal(768, seed=1), normal(768, seed=2)
    out = np.empty_like(x)
    _elementwise.layer_norm(x, weight, bias, 1e-6, out)
    tensors = (torch.from_numpy(each.astype(np.float64)) for each in (x, weight, bias))
    first, *rest = tensors
    np.testing.assert_allclose(out, functional.layer_norm(first, (768,), *rest, 1e-6), atol=1e-5)


@pytest.mark.parametrize(
    ("grid", "window"),
    [
        ((9, 40), (0, 0, 9, 40)),  # more keys than are weighed at once, in panels that are not full
        ((64, 16), (0, 0, 64, 16)),
        ((31, 20), (0, 0, 31, 20)),
        ((10, 9), (0, 0, 14, 14)),  # reaches over the grid
        ((20, 30), (14, 14, 14, 14)),
        ((5, 3), (0, 0, 5, 3)),  # smaller than a tile
    ],
)
@pytest.mark.parametrize("d", [32, 40])
# Large weights, one of which takes all, are rounded themselves.
@pytest.mark.parametrize(("factor", "allowed"), [(1, 2e-5), (10, 2e-3)])
def test_attention_is_that_of_the_formula(grid, window, d, factor, allowed):
    heads, (top, left, height, width) = 2, window
    qkv = normal(grid[0] * grid[1], 3 * heads * d) * np.float32(factor)
    fill = normal(3 * heads * d, seed=1)
    table_h, table_w = normal(2 * height - 1, d, seed=2), normal(2 * width - 1, d, seed=3)
    tables = [torch.from_numpy(table) for table in (table_h, table_w)]
    positions = [
        _products.in_panels(relative_positions(table, side).numpy() * _softmax.LOG2_E)
        for table, side in zip(tables, (height, width), strict=True)
    ]
    padded = np.empty((top + height, left + width, 3 * heads * d), np.float32)
    padded[:] = fill
    rows, columns = min(grid[0], top + height), min(grid[1], left + width)
    padded[:rows, :columns] = qkv.reshape(*grid, -1)[:rows, :columns]
    part = torch.from_numpy(padded[top:, left:].astype(np.float64))[None]
    expected = grid_attention(part, heads, *(x.double() for x in tables))[0]
    out = np.full((grid[0] * grid[1], heads * d), np.nan, np.float32)
    scratch = _attention.make_scratch(height, width, d)
    for head in range(heads):
        _attention.attend(qkv, heads, head, grid, window, fill, *positions, out, scratch)
    found = out.reshape(*grid, -1)[top:rows, left:columns]
    np.testing.assert_allclose(found, expected[: rows - top, : columns - left], atol=allowed)
    untouched = np.ones(grid, bool)
    untouched[top:rows, left:columns] = False
    assert np.isnan(out.reshape(*grid, -1)[untouched]).all()
