"""The compiled parts against numpy and PyTorch; they run wherever AVX2 does."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from sam_plugins.modeling.kernels import _attention, _elementwise, _products, _tiles
from sam_plugins.modeling.relative_attention import grid_attention, relative_positions

pytestmark = pytest.mark.usefixtures("avx2")


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("rows", [6, 7, 11, 12, 50])
@pytest.mark.parametrize(("depth", "groups", "width"), [(1, 1, 16), (37, 2, 32), (64, 3, 16)])
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
    assert panels.shape == (2, 2, 3, 16)
    assert not panels[:, 1, :, 4:].any()
    assert panels[:, 1, :, :4].all()


def test_exponential_is_exact_to_its_last_digits():
    below = -np.geomspace(1e-8, 86.9, 100_001, dtype=np.float32)
    found = below.copy()
    _elementwise.exp_below(found, np.float32(0))
    np.testing.assert_allclose(found, np.exp(below.astype(np.float64)), rtol=2e-7)


def test_what_is_far_below_has_no_weight():
    found = np.array([0, -87, -88, -1e30, -np.inf], np.float32)
    _elementwise.exp_below(found, np.float32(0))
    assert found[0] == 1
    assert (found[1:] < 2e-38).all()


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
        ((10, 9), (0, 0, 14, 14)),  # reaches over the grid
        ((20, 30), (14, 14, 14, 14)),
    ],
)
# Large weights, one of which takes all, are rounded themselves.
@pytest.mark.parametrize(("factor", "allowed"), [(1, 2e-5), (10, 2e-3)])
def test_attention_is_that_of_the_formula(grid, window, factor, allowed):
    heads, d, (top, left, height, width) = 2, 32, window
    qkv = normal(3 * heads, grid[0] * grid[1], d) * np.float32(factor)
    fill = normal(3 * heads, d, seed=1)
    table_h, table_w = normal(2 * height - 1, d, seed=2), normal(2 * width - 1, d, seed=3)
    tables = [torch.from_numpy(table) for table in (table_h, table_w)]
    positions = [
        _products.in_panels(relative_positions(table, side).numpy())
        for table, side in zip(tables, (height, width), strict=True)
    ]
    padded = np.empty((3 * heads, top + height, left + width, d), np.float32)
    padded[:] = fill[:, None, None]
    rows, columns = min(grid[0], top + height), min(grid[1], left + width)
    inside = qkv.reshape(3 * heads, *grid, d)[:, :rows, :columns]
    padded[:, :rows, :columns] = inside
    part = torch.from_numpy(padded[:, top:, left:].reshape(3, heads, height, width, d))
    channels_last = part.permute(2, 3, 0, 1, 4).reshape(1, height, width, -1)
    expected = grid_attention(channels_last.double(), heads, *(x.double() for x in tables))[0]
    out = np.full((grid[0] * grid[1], heads * d), np.nan, np.float32)
    scratch = _attention.make_scratch(height, width, d)
    for head in range(heads):
        _attention.attend(qkv, head, grid, window, fill, *positions, out, scratch)
    found = out.reshape(*grid, -1)[top:rows, left:columns]
    np.testing.assert_allclose(found, expected[: rows - top, : columns - left], atol=allowed)
    untouched = np.ones(grid, bool)
    untouched[top:rows, left:columns] = False
    assert np.isnan(out.reshape(*grid, -1)[untouched]).all()
