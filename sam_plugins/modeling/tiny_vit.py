"""MobileSAM's image encoder: a TinyViT that ends at stride 16 with SAM's neck.

Written after TinyViT (arXiv 2207.10666), MobileSAM (arXiv 2306.14289) and the released weights'
key names and shapes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sam_plugins.modeling.configs import TinyViTConfig
from sam_plugins.modeling.cpu import Linear, by_stripes, runs_eagerly_on_cpu
from sam_plugins.modeling.kernels import layers
from sam_plugins.modeling.kernels import tiny_vit as kernels
from sam_plugins.modeling.kernels.activations import own_gelu
from sam_plugins.modeling.kernels.bfloat16 import layers as bfloat16_layers
from sam_plugins.modeling.kernels.bfloat16 import tiny_vit as bfloat16_kernels
from sam_plugins.modeling.layers import check_frame, neck
from sam_plugins.modeling.tiny_vit_convolutions import (
    EXPANSION,
    ConvNorm,
    MBConv,
    PatchMerging,
    Stem,
)
from sam_plugins.modeling.windows import from_windows, to_windows

# Width of an attention head (TinyViT, Table 1).
HEAD_DIM = 32


class TinyViT(nn.Module):
    """Encode a frame into the image embedding.

    Parameters
    ----------
    config : TinyViTConfig
        Widths and depths.
    img_size : int
        Side of the frame that the weights were trained for, in pixels.

    Notes
    -----
    Attention stays within windows of a fixed size, whose relative positions are all that is stored,
    so that any frame whose sides are multiples of 16 can be encoded as it is.

    The classification head is part of the released file and is kept, so that it loads strictly; it
    is never run.
    """

    def __init__(self, config: TinyViTConfig, img_size: int = 1024) -> None:
        super().__init__()
        self.img_size = img_size
        self.patch_size = config.patch_size
        widths = config.embed_dims
        self.patch_embed = Stem(widths[0])
        last = len(widths) - 1
        self.layers = nn.ModuleList(
            Stage(
                width,
                depth=config.depths[index],
                num_heads=config.num_heads[index],
                # The first stage is convolutional: its maps are too large for attention.
                window_size=config.window_sizes[index] if index else 0,
                next_width=widths[index + 1] if index < last else 0,
                # The last stage stays at stride 16, where a classifier would go on to 32.
                next_stride=2 if index < last - 1 else 1,
            )
            for index, width in enumerate(widths)
        )
        self.norm_head = nn.LayerNorm(widths[-1])
        self.head = nn.Linear(widths[-1], config.num_classes)
        self.neck = neck(widths[-1], config.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Encode frames.

        Parameters
        ----------
        x : Tensor of shape (B, 3, H, W)
            Normalised; H and W are multiples of `patch_size`.

        Returns
        -------
        Tensor of shape (B, out_channels, H / 16, W / 16)
            The image embedding.

        Raises
        ------
        ValueError
            If the shape is another one.
        """
        check_frame(x.shape, self.patch_size)
        x = x.to(self.norm_head.weight.dtype, memory_format=torch.channels_last)
        x = self.patch_embed(x)  # (B, C, H/4, W/4)
        for stage in self.layers:
            x = stage(x)
        return self.neck(x)  # (B, out_channels, H/16, W/16)


class Stage(nn.Module):
    """Blocks of one width, then the step to the next width.

    Parameters
    ----------
    width : int
        Channels.
    depth : int
        Number of blocks.
    num_heads : int
        Attention heads of each block.
    window_size : int
        Tokens to a window along each axis; 0 makes the blocks convolutional.
    next_width : int
        Channels of the next stage; 0 for the last one.
    next_stride : int
        Stride of the step to the next stage.
    """

    def __init__(
        self,
        width: int,
        *,
        depth: int,
        num_heads: int,
        window_size: int,
        next_width: int,
        next_stride: int,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            TinyViTBlock(width, num_heads, window_size) if window_size else MBConv(width)
            for _ in range(depth)
        )
        self.downsample = PatchMerging(width, next_width, next_stride) if next_width else None

    def forward(self, x: Tensor) -> Tensor:
        """Run the blocks, then the downsampling if there is one.

        Parameters
        ----------
        x : Tensor of shape (B, width, h, w)

        Returns
        -------
        Tensor of shape (B, next_width, h / next_stride, w / next_stride)
        """
        for block in self.blocks:
            x = block(x)
        return x if self.downsample is None else self.downsample(x)


class TinyViTBlock(nn.Module):
    """Attention in windows, a convolution of each channel, an MLP.

    Parameters
    ----------
    width : int
        Channels.
    num_heads : int
        Attention heads.
    window_size : int
        Tokens to a window along each axis.
    """

    def __init__(self, width: int, num_heads: int, window_size: int) -> None:
        super().__init__()
        self.window_size = window_size
        self.attn = WindowAttention(width, num_heads, window_size)
        self.local_conv = ConvNorm(width, width, 3, groups=width)
        self.mlp = Mlp(width)

    def forward(self, x: Tensor) -> Tensor:
        """Attend in windows, convolve, and run the MLP.

        Parameters
        ----------
        x : Tensor of shape (B, width, h, w)

        Returns
        -------
        Tensor of shape (B, width, h, w)
        """
        rows = x.permute(0, 2, 3, 1)  # (B, h, w, C)
        attention, bias = self.attn, self.attn.bias()
        if layers.suits(rows, attention.norm, attention.qkv, attention.proj):
            rows = kernels.with_attention(attention, rows, bias)
        elif bfloat16_layers.suits(rows, attention.norm, attention.qkv, attention.proj):
            rows = bfloat16_kernels.with_attention(attention, rows, bias)
        else:
            rows = by_stripes(lambda part: part + attention(part, bias), rows, self.window_size)
        x = self.local_conv(rows.permute(0, 3, 1, 2))  # (B, C, h, w)
        rows, mlp = x.permute(0, 2, 3, 1), self.mlp  # (B, h, w, C)
        if layers.suits(rows, mlp.norm, mlp.fc1, mlp.fc2):
            rows = layers.with_mlp(rows, mlp.norm, mlp.fc1, mlp.fc2)
        elif bfloat16_layers.suits(rows, mlp.norm, mlp.fc1, mlp.fc2):
            rows = bfloat16_layers.with_mlp(rows, mlp.norm, mlp.fc1, mlp.fc2)
        else:
            rows = by_stripes(self._mlp, rows, self.window_size)
        return rows.permute(0, 3, 1, 2)  # (B, C, h, w)

    def _mlp(self, x: Tensor) -> Tensor:
        return x + self.mlp(x)


class WindowAttention(nn.Module):
    """Multi-head attention in windows with a learned bias for each distance.

    Parameters
    ----------
    width : int
        Channels.
    num_heads : int
        Attention heads, of `HEAD_DIM` channels each.
    window_size : int
        Tokens to a window along each axis.

    Notes
    -----
    The biases are looked up at each forward pass. A table looked up once, when the module enters
    evaluation mode, goes stale when weights are loaded afterwards, and the masks are wrong without
    an error.
    """

    def __init__(self, width: int, num_heads: int, window_size: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.window_size = window_size
        self.norm = nn.LayerNorm(width)
        self.qkv = Linear(width, 3 * HEAD_DIM * num_heads)
        self.proj = Linear(HEAD_DIM * num_heads, width)
        # One for each distance |dy|, |dx| along the axes, row by row.
        self.attention_biases = nn.Parameter(torch.zeros(num_heads, window_size**2))

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Attend among the tokens of each window.

        Parameters
        ----------
        x : Tensor of shape (B, h, w, C)
        bias : Tensor of shape (1, heads, N, N)
            From `bias`.

        Returns
        -------
        Tensor of shape (B, h, w, C)
        """
        height, width, dim = x.shape[1:]
        size = self.window_size
        # The grid is padded with zeros before the norm, and the padding is not masked: all that is
        # left of it are the projections of normalised zeros.
        padding = self.qkv(self.norm(x.new_zeros(1, dim)))[0]  # (3 heads d,)
        qkv = to_windows(self.qkv(self.norm(x)), size, fill=padding)
        qkv = qkv.reshape(-1, size**2, self.num_heads, 3 * HEAD_DIM)
        # The channels of q, k and v follow each other within each head.
        q, k, v = qkv.transpose(1, 2).split(HEAD_DIM, dim=-1)  # (windows, heads, N, d) each
        out = _attend(q, k, v, bias.to(q.dtype))
        out = out.transpose(1, 2).reshape(-1, size, size, self.num_heads * HEAD_DIM)
        # In one piece: of a view, PyTorch would multiply each row by a copy of the weights.
        return self.proj(from_windows(out, (height, width)).contiguous())  # (B, h, w, C)

    def bias(self) -> Tensor:
        """Look up the bias of each query-key pair.

        Returns
        -------
        Tensor of shape (1, heads, N, N)
            N tokens of a window.
        """
        size = self.window_size
        axis = torch.arange(size, device=self.attention_biases.device)
        distance = (axis[:, None] - axis).abs()  # (query, key)
        index = distance[:, None, :, None] * size + distance[None, :, None, :]  # (y, x, y, x)
        return self.attention_biases[:, index.view(size**2, size**2)][None]


class Mlp(nn.Module):
    """A norm and the two linear layers of a block.

    Parameters
    ----------
    width : int
        Channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = Linear(width, EXPANSION * width)
        self.fc2 = Linear(EXPANSION * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise and run both layers; the input is not added.

        Parameters
        ----------
        x : Tensor of shape (..., width)

        Returns
        -------
        Tensor of shape (..., width)
        """
        return self.fc2(own_gelu(self.fc1(self.norm(x))))


def _attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Attention of (windows, heads, N, d) with a bias (1, heads, N, N)."""
    if not (runs_eagerly_on_cpu(q) and q.dtype == torch.bfloat16):
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    # In bfloat16 the fused kernel is slower than its parts.
    q, k, v = (x.flatten(0, 1) for x in (q * q.shape[-1] ** -0.5, k, v))
    scores = torch.baddbmm(bias.expand(len(q) // bias.shape[1], -1, -1, -1).flatten(0, 1), q, k.mT)
    return (scores.softmax(-1) @ v).unflatten(0, (-1, bias.shape[1]))
