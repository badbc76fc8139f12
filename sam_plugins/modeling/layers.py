"""Small layers that several parts of the model share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from sam_plugins.modeling.cpu import Linear


class Float32Buffers(nn.Module):
    """A module whose own buffers stay float32 when the model is cast to another precision.

    Half precision would round the mean grey level by a tenth of a level and the frequencies of the
    positional encoding so far that clicks move by pixels; Apple GPUs have no float64.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        kept = dict(self.named_buffers(recurse=False))
        super()._apply(fn, recurse)
        for name, buffer in kept.items():
            moved = getattr(self, name)
            if moved.dtype != buffer.dtype:
                setattr(self, name, buffer.to(moved.device))
        return self


class LayerNorm2d(nn.Module):
    """Layer normalisation over the channels of a map (B, C, H, W).

    Parameters
    ----------
    num_channels : int
        C.
    eps : float
        Added to the variance.
    """

    def __init__(self, num_channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the channels of each pixel.

        Parameters
        ----------
        x : Tensor of shape (B, C, H, W)

        Returns
        -------
        Tensor of shape (B, C, H, W)
        """
        rows = x.permute(0, 2, 3, 1)  # (B, H, W, C)
        shape = self.weight.shape
        normal = functional.layer_norm(rows, shape, self.weight, self.bias, self.eps)
        return normal.permute(0, 3, 1, 2)  # (B, C, H, W)


class MLP(nn.Module):
    """Linear layers with ReLU between them, as in DETR's heads.

    Parameters
    ----------
    input_dim, hidden_dim, output_dim : int
        Widths.
    num_layers : int
        Number of linear layers.
    """

    def __init__(self, input_dim: int, hidden_dim: int, output_dim: int, num_layers: int) -> None:
        super().__init__()
        widths = [input_dim, *[hidden_dim] * (num_layers - 1), output_dim]
        self.layers = nn.ModuleList(Linear(a, b) for a, b in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        """Run all layers.

        Parameters
        ----------
        x : Tensor of shape (..., input_dim)

        Returns
        -------
        Tensor of shape (..., output_dim)
        """
        *hidden, last = self.layers
        for layer in hidden:
            x = functional.relu(layer(x))
        return last(x)


class MLPBlock(nn.Module):
    """The two linear layers of a transformer block.

    Parameters
    ----------
    embedding_dim : int
        Width of the tokens.
    mlp_dim : int
        Hidden width.
    act : type of nn.Module
        The activation between them.
    """

    def __init__(self, embedding_dim: int, mlp_dim: int, act: type[nn.Module] = nn.GELU) -> None:
        super().__init__()
        self.lin1 = Linear(embedding_dim, mlp_dim)
        self.lin2 = Linear(mlp_dim, embedding_dim)
        self.act = act()

    def forward(self, x: Tensor) -> Tensor:
        """Run both layers.

        Parameters
        ----------
        x : Tensor of shape (..., embedding_dim)

        Returns
        -------
        Tensor of shape (..., embedding_dim)
        """
        return self.lin2(self.act(self.lin1(x)))


def neck(in_channels: int, out_channels: int) -> nn.Sequential:
    """Make the two convolutions that bring an encoder's map to the image embedding's channels.

    Parameters
    ----------
    in_channels : int
        Channels of the encoder's map.
    out_channels : int
        Channels of the image embedding.

    Returns
    -------
    nn.Sequential
        Takes (B, in_channels, h, w), gives (B, out_channels, h, w).
    """
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False),
        LayerNorm2d(out_channels),
        nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False),
        LayerNorm2d(out_channels),
    )


def check_frame(shape: Sequence[int], patch_size: int) -> None:
    """Raise unless a shape is that of frames with sides that are multiples of the patch.

    Parameters
    ----------
    shape : sequence of int
        (B, 3, H, W) is right.
    patch_size : int
        What H and W must be multiples of, in pixels.

    Raises
    ------
    ValueError
        Names the shape.
    """
    if len(shape) != 4 or shape[1] != 3 or shape[2] % patch_size or shape[3] % patch_size:
        raise ValueError(
            f"the encoder takes (B, 3, H, W) with H and W multiples of {patch_size}, "
            f"got {tuple(shape)}"
        )
