"""The compiled parts in bfloat16 against numpy and PyTorch."""

import numpy as np
import pytest
import torch
from numba import njit
from torch.nn import functional

from sam_plugins.modeling.kernels import _softmax
from sam_plugins.modeling.kernels._memory import aligned
from sam_plugins.modeling.kernels._softmax import LOG2_E
from sam_plugins.modeling.kernels.bfloat16 import _attention, _blocks, _numbers, _outputs, _rows
from sam_plugins.modeling.relative_attention import grid_attention, relative_positions

# Half of the last bit of a bfloat16, relative to the number.
HALF_BIT = 2**-8


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def bits(x):
    """Numbers rounded to bfloat16, as uint16, in memory that begins with a line of the caches."""
    out = aligned(x.shape, np.uint16)
    rounded = torch.from_numpy(np.ascontiguousarray(x)).bfloat16()
    out[...] = rounded.view(torch.int16).numpy().view(np.uint16)
    return out


def numbers(x):
    """What bfloat16 bits stand for, as float64."""
    return (x.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


@njit
def round_all(x, out):
    for i in range(len(x)):
        out[i] = _numbers.rounded(x[i])


@njit
def block_of(a, row, step, b, panel, out, start, pitch, side, steps, add):
    _blocks.open_tiles()
    if add:
        _blocks.add_block(a, 0, row, step, b, 0, panel, out, start, pitch, side, steps)
    else:
        _blocks.multiply_block(a, 0, row, step, b, 0, panel, out, start, pitch, side, steps)
    _blocks.close_tiles()


def test_rounding_is_to_the_nearest():
    x = np.concatenate([normal(10_000) * 100, np.float32([0, -0.0, np.inf, -np.inf, 1e-40, 3e38])])
    found = np.empty(len(x), np.uint16)
    round_all(x, found)
    np.testing.assert_array_equal(found, bits(x))
    tie = np.float32([1 + 2**-8])
    round_all(tie, found)
    assert numbers(found)[0] == 1 + 2**-7


@pytest.mark.parametrize("depth", [32, 96, 768])
@pytest.mark.parametrize("by_strips", [False, True])
def test_block_is_the_product(depth, by_strips):
    a, weight = bits(normal(32, depth)), normal(32, depth, seed=1)
    panels = _numbers.in_panels(weight[None], 32, depth)
    expected = numbers(a) @ numbers(bits(weight)).T
    if by_strips:  # STEP numbers of each row, then the next of each
        strips = aligned((depth // 32, 32, 32), np.uint16)
        strips[...] = a.reshape(32, -1, 32).swapaxes(0, 1)
        left, row, step = strips, 32, 32 * 32
    else:
        left, row, step = a, depth, 32
    for pitch, side in ((40, 16), (16, 512)):
        out = np.full(32 * 40 + 7, 5, np.float32)
        places = 3 + np.arange(32)[:, None] * pitch + np.r_[np.arange(16), side + np.arange(16)]
        block_of(left, row, step, panels, depth // 2 * 16, out, 3, pitch, side, depth // 32, False)
        np.testing.assert_allclose(out[places], expected, atol=1e-3)
        block_of(left, row, step, panels, depth // 2 * 16, out, 3, pitch, side, depth // 32, True)
        np.testing.assert_allclose(out[places], 2 * expected, atol=2e-3)
        untouched = np.ones(len(out), bool)
        untouched[places] = False
        assert (out[untouched] == 5).all()


def test_panels_hold_pairs_and_are_filled_up_with_zeros():
    matrix = normal(3, 20, 40)
    panels = _numbers.in_panels(matrix, 32, 64)
    assert panels.shape == (3, 2, 32, 16)
    pairs = panels.view(np.uint16).reshape(3, 2, 32, 16, 2)
    expected = np.zeros((3, 32, 64))
    expected[:, :20, :40] = numbers(bits(matrix))
    found = numbers(pairs).transpose(0, 1, 3, 2, 4).reshape(3, 32, 64)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", ["write_sums", "write_gelu"])
def test_sums_are_written_down(name):
    write = getattr(_outputs, name)

    @njit
    def run(sums, bias, out):
        write(sums, 20, 20, bias, 3, out, 5, 32)

    sums, bias = normal(33, 20) * 3, normal(19, seed=1)
    sums[7] = np.linspace(-20, 20, 20)
    out = np.full(32 * 32, 7, np.uint16)
    run(sums, bias, out)
    expected = sums[1:, :16] + bias[3:]
    if name == "write_gelu":
        expected = functional.gelu(torch.from_numpy(expected.astype(np.float64))).numpy()
    places = 5 + np.arange(32)[:, None] * 32 + np.arange(16)
    np.testing.assert_allclose(numbers(out[places]), expected, rtol=1.1 * HALF_BIT, atol=2e-4)
    untouched = np.ones(len(out), bool)
    untouched[places] = False
    assert (out[untouched] == 7).all()


def test_softmax_of_a_line():
    @njit
    def run(weights, scale, bias_h, bias_w, most, shares):
        most = _softmax.weigh_line(weights, 2, 3, 32, scale, bias_h, 1, bias_w, 4, most)
        return most, _softmax.share_rounded_line(weights, 2, 96, most, shares, 5)

    products, bias_h, bias_w = normal(100) * 9, normal(4, seed=1), normal(36, seed=2)
    bias_w[4 + 30 :] = -np.inf  # keys that are not there
    expected = products[2:98].reshape(3, 32) * 0.5 + bias_h[1:, None] + bias_w[4:]
    shares = np.full(130, 9, np.uint16)
    most, total = run(products.copy(), np.float32(0.5), bias_h, bias_w, np.float32(-np.inf), shares)
    assert most == pytest.approx(expected.max(), rel=1e-6)
    powers = 2 ** (expected.ravel().astype(np.float64) - most)
    assert total == pytest.approx(powers.sum(), rel=1e-5)
    found = numbers(shares[5:101])
    np.testing.assert_allclose(found, powers, rtol=1.1 * HALF_BIT, atol=1e-37)
    assert (shares[:5] == 9).all()
    assert not shares[101:117].any()
    assert (shares[117:] == 9).all()
    # What was largest before stays so.
    most, _ = run(products.copy(), np.float32(0.5), bias_h, bias_w, np.float32(1e3), shares)
    assert most == 1e3


def test_rows_are_normalised():
    x, weight, bias = normal(9, 96) * 3 + 5, normal(96, seed=1), normal(96, seed=2)
    out = np.zeros((3, 12, 32), np.uint16)
    _rows._normalise(x, (weight, bias, 1e-6), out)
    tensors = [torch.from_numpy(each.astype(np.float64)) for each in (x, weight, bias)]
    expected = functional.layer_norm(tensors[0], (96,), *tensors[1:], 1e-6).numpy()
    found = numbers(out).swapaxes(0, 1).reshape(12, 96)[:9]
    np.testing.assert_allclose(found, expected, rtol=1.1 * HALF_BIT, atol=1e-5)


@pytest.mark.parametrize(
    ("grid", "window"),
    [
        ((9, 40), (0, 0, 9, 40)),  # an odd number of rows of keys, in panels that are not full
        ((64, 16), (0, 0, 64, 16)),
        ((64, 64), (0, 0, 64, 64)),  # more keys than are weighed at once
        ((10, 9), (0, 0, 14, 14)),  # reaches over the grid
        ((20, 30), (14, 14, 14, 14)),
        ((3, 2), (0, 0, 3, 2)),
    ],
)
@pytest.mark.parametrize("d", [32, 48])
def test_attention_is_that_of_the_formula(grid, window, d):
    heads, (top, left, height, width) = 2, window
    parts = 3 * heads * d // 16
    qkv = bits(normal(parts, grid[0] * grid[1] + 5, 16))
    fill = bits(normal(parts, 16, seed=1))
    table_h, table_w = normal(2 * height - 1, d, seed=2), normal(2 * width - 1, d, seed=3)
    tables = [torch.from_numpy(table) / 4 for table in (table_h, table_w)]
    positions = [
        _numbers.in_panels(
            relative_positions(table, side).numpy() * LOG2_E, -(-side // 32) * 32, -(-d // 32) * 32
        )
        for table, side in zip(tables, (height, width), strict=True)
    ]
    padded = np.empty((parts, top + height, left + width, 16))
    padded[:] = numbers(fill)[:, None, None]
    rows, columns = min(grid[0], top + height), min(grid[1], left + width)
    tokens = numbers(qkv[:, : grid[0] * grid[1]]).reshape(parts, *grid, 16)
    padded[:, :rows, :columns] = tokens[:, :rows, :columns]
    part = torch.from_numpy(padded[:, top:, left:]).permute(1, 2, 0, 3).flatten(2)
    expected = grid_attention(part[None], heads, *(table.double() for table in tables))[0]
    out = np.full((heads * d // 32, grid[0] * grid[1] + 3, 32), 9, np.uint16)
    scratch = _attention.make_scratch(height, width, d)
    for head in range(heads):
        _attention.attend(qkv, heads, head, grid, window, fill, *positions, out, scratch)
    by_token = out.swapaxes(0, 1)[: grid[0] * grid[1]].reshape(*grid, heads * d)
    found = numbers(by_token[top:rows, left:columns])
    np.testing.assert_allclose(found, expected[: rows - top, : columns - left], atol=0.03)
    error = found - expected[: rows - top, : columns - left].numpy()
    assert np.sqrt((error**2).mean()) < 0.005
    untouched = np.ones(grid, bool)
    untouched[top:rows, left:columns] = False
    assert (by_token[untouched] == 9).all()
