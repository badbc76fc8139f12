"""TinyViT's convolutions: stem, inverted bottlenecks, patch merging."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from sam_plugins.modeling.cpu import linear, runs_eagerly_on_cpu
from sam_plugins.modeling.kernels import tiny_vit
from sam_plugins.modeling.kernels.activations import own_gelu

# Hidden width of the inverted bottlenecks and of the MLPs, in multiples of the width.
EXPANSION = 4
# Rows of a bottleneck that are computed at once on a CPU: the hidden maps stay in the caches.
ROWS = 16


class ConvNorm(nn.Module):
    """A convolution followed by batch normalisation.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels.
    kernel_size, stride, groups : int
        As in `torch.nn.Conv2d`; the padding keeps the map's size at stride 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        *,
        stride: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.c = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding=kernel_size // 2,
            groups=groups,
            bias=False,
        )
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and normalise, in one step outside of training.

        Parameters
        ----------
        x : Tensor of shape (B, in_channels, H, W)

        Returns
        -------
        Tensor of shape (B, out_channels, H / stride, W / stride)
        """
        if self.training:
            return self.bn(self.c(x))
        return self.folded()(x)

    def folded(self, *, pad_rows: bool = True) -> Callable[[Tensor], Tensor]:
        """Make the convolution that does both, with the statistics as they are now.

        Parameters
        ----------
        pad_rows : bool
            Whether zeros are put above and below a map; else it loses rows there.

        Returns
        -------
        callable
            Takes (B, in_channels, H, W) and gives (B, out_channels, H / stride, W / stride).
        """
        weight, bias = self.weights()
        _, across = cast(tuple[int, int], self.c.padding)
        padding = (across if pad_rows else 0, across)
        pointwise = weight.shape[2:] == (1, 1) and self.c.stride == (1, 1) and self.c.groups == 1

        def convolve(x: Tensor) -> Tensor:
            if pointwise:
                rows = linear(x.permute(0, 2, 3, 1), weight[:, :, 0, 0], bias)  # (B, H, W, out)
                return rows.permute(0, 3, 1, 2)
            return functional.conv2d(x, weight, bias, self.c.stride, padding, 1, self.c.groups)

        return convolve

    def weights(self) -> tuple[Tensor, Tensor]:
        """Give those of a convolution that does both, with the statistics as they are now.

        Returns
        -------
        weight : Tensor of shape (out_channels, in_channels / groups, kernel_size, kernel_size)
        bias : Tensor of shape (out_channels,)
        """
        norm, dtype = self.bn, self.c.weight.dtype
        mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
        scale = norm.weight.float() * (variance.float() + norm.eps).rsqrt()  # (out,)
        weight = self.c.weight.float() * scale[:, None, None, None]
        bias = norm.bias.float() - mean.float() * scale
        return weight.to(dtype), bias.to(dtype)


class Stem(nn.Module):
    """Two convolutions that bring a frame to stride 4.

    Parameters
    ----------
    width : int
        Channels of the result.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.seq = nn.Sequential(
            ConvNorm(3, width // 2, 3, stride=2),
            nn.GELU(),
            ConvNorm(width // 2, width, 3, stride=2),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Run both convolutions.

        Parameters
        ----------
        x : Tensor of shape (B, 3, H, W)
            Normalised frames.

        Returns
        -------
        Tensor of shape (B, width, H / 4, W / 4)
        """
        if self.training or not runs_eagerly_on_cpu(x):
            return self.seq(x)
        first, _, second = self.seq
        return second(own_gelu(first(x)))


class MBConv(nn.Module):
    """An inverted bottleneck: widen, convolve each channel, narrow.

    Parameters
    ----------
    width : int
        Channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = EXPANSION * width
        self.conv1 = ConvNorm(width, hidden)
        self.conv2 = ConvNorm(hidden, hidden, 3, groups=hidden)
        self.conv3 = ConvNorm(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Widen, convolve, narrow, and add the input.

        Parameters
        ----------
        x : Tensor of shape (B, width, h, w)

        Returns
        -------
        Tensor of shape (B, width, h, w)
        """
        if self.training or not runs_eagerly_on_cpu(x):
            y = functional.gelu(self.conv1(x))  # (B, hidden, h, w)
            y = functional.gelu(self.conv2(y))
            return functional.gelu(x + self.conv3(y))
        if tiny_vit.suits_bottleneck(x, self.conv1.c.weight):
            parts = (self.conv1, self.conv2, self.conv3)
            return tiny_vit.bottleneck(x, *(part.weights() for part in parts))
        widen, narrow = self.conv1.folded(), self.conv3.folded()
        convolve = self.conv2.folded(pad_rows=False)
        out, height = torch.empty_like(x), x.shape[2]
        for top in range(0, height, ROWS):
            bottom = min(top + ROWS, height)
            # A row more on each side; outside of the map, the hidden one is padded with zeros.
            y = own_gelu(widen(x[:, :, max(top - 1, 0) : bottom + 1]))  # (B, hidden, rows, w)
            if top == 0 or bottom == height:  # else padding by nothing would copy all
                y = functional.pad(y, (0, 0, int(top == 0), int(bottom == height)))
            y = narrow(own_gelu(convolve(y)))  # (B, width, ROWS, w)
            out[:, :, top:bottom] = own_gelu(x[:, :, top:bottom] + y)
        return out


class PatchMerging(nn.Module):
    """The step to the next stage's width and stride.

    Parameters
    ----------
    in_channels, out_channels : int
        Widths.
    stride : int
        Stride.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(in_channels, out_channels)
        self.conv2 = ConvNorm(out_channels, out_channels, 3, stride=stride, groups=out_channels)
        self.conv3 = ConvNorm(out_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Run the three convolutions; the middle one has the stride.

        Parameters
        ----------
        x : Tensor of shape (B, in_channels, h, w)

        Returns
        -------
        Tensor of shape (B, out_channels, h / stride, w / stride)
        """
        x = own_gelu(self.conv1(x))
        x = own_gelu(self.conv2(x))
        return self.conv3(x)
