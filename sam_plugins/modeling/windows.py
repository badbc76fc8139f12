"""Cutting a grid of tokens into square windows for local attention, and putting it together."""

from __future__ import annotations

import torch
from torch import Tensor


def to_windows(x: Tensor, size: int, *, fill: Tensor | None = None) -> Tensor:
    """Cut a grid of tokens into windows.

    Parameters
    ----------
    x : Tensor of shape (B, h, w, C)
        The grid.
    size : int
        Tokens to a window along each axis.
    fill : Tensor of shape (C,), optional
        The token that a grid whose sides are no multiples of ``size`` is padded with, to the right
        and below; zeros if omitted.

    Returns
    -------
    Tensor of shape (B * rows * columns, size, size, C)
        Windows of one image row by row.

    Examples
    --------
    >>> import torch
    >>> grid = torch.arange(6).view(1, 2, 3, 1)
    >>> to_windows(grid, 2)[..., 0].tolist()
    [[[0, 1], [3, 4]], [[2, 0], [5, 0]]]
    """
    batch, height, width, dim = x.shape
    rows, columns = -(-height // size), -(-width // size)
    token = x.new_zeros(dim) if fill is None else fill
    if columns * size > width:
        right = token.expand(batch, height, columns * size - width, dim)
        x = torch.cat([x, right], dim=2)
    if rows * size > height:
        below = token.expand(batch, rows * size - height, columns * size, dim)
        x = torch.cat([x, below], dim=1)
    x = x.reshape(batch, rows, size, columns, size, dim)
    return x.transpose(2, 3).reshape(-1, size, size, dim)  # (B * rows * columns, size, size, C)


def from_windows(windows: Tensor, grid: tuple[int, int]) -> Tensor:
    """Put windows together again and cut the padding off.

    Parameters
    ----------
    windows : Tensor of shape (B * rows * columns, size, size, C)
        From `to_windows`.
    grid : tuple of int
        (h, w) of the grid that was cut.

    Returns
    -------
    Tensor of shape (B, h, w, C)

    Examples
    --------
    >>> import torch
    >>> grid = torch.arange(6).view(1, 2, 3, 1)
    >>> torch.equal(from_windows(to_windows(grid, 2), (2, 3)), grid)
    True
    """
    height, width = grid
    size, dim = windows.shape[-2:]
    rows, columns = -(-height // size), -(-width // size)
    x = windows.reshape(-1, rows, columns, size, size, dim).transpose(2, 3)
    x = x.reshape(-1, rows * size, columns * size, dim)
    return x[:, :height, :width]  # (B, h, w, C)
