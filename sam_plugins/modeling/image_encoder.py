"""SAM's image encoder: a ViT with windowed and global attention and relative positions.

Written after the paper (§A), ViTDet (arXiv 2203.16527) and the released weights' key names.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from sam_plugins.modeling.configs import ViTConfig
from sam_plugins.modeling.cpu import Linear, by_stripes
from sam_plugins.modeling.kernels import vit
from sam_plugins.modeling.kernels.bfloat16 import vit as bfloat16_vit
from sam_plugins.modeling.layers import MLPBlock, check_frame, neck
from sam_plugins.modeling.relative_attention import grid_attention
from sam_plugins.modeling.windows import from_windows, to_windows

# The released weights were trained with it; PyTorch's default is 1e-5.
LAYER_NORM_EPS = 1e-6
# Rows of tokens whose MLP is computed at once on a CPU: the hidden layer stays in the caches.
STRIPE = 14


class ImageEncoderViT(nn.Module):
    """Encode a frame into the image embedding.

    Parameters
    ----------
    config : ViTConfig
        Widths and depths.
    img_size : int
        Side of the frame that the positional embeddings are stored for, in pixels.

    Notes
    -----
    Any frame whose sides are multiples of the patch can be encoded, also rectangular ones: absolute
    positional embeddings are resized bicubically with antialiasing, relative ones linearly. At
    the stored size both are used as they are.
    """

    def __init__(self, config: ViTConfig, img_size: int = 1024) -> None:
        super().__init__()
        self.img_size = img_size
        self.patch_size = config.patch_size
        grid = img_size // config.patch_size
        self.patch_embed = PatchEmbed(config.patch_size, config.embed_dim)
        self.pos_embed = nn.Parameter(torch.zeros(1, grid, grid, config.embed_dim))
        self.blocks = nn.ModuleList(
            Block(
                config.embed_dim,
                config.num_heads,
                config.mlp_ratio,
                window_size=0 if index in config.global_attention else config.window_size,
                input_size=grid,
            )
            for index in range(config.depth)
        )
        self.neck = neck(config.embed_dim, config.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Encode images.

        Parameters
        ----------
        x : Tensor of shape (B, 3, H, W)
            Normalised; H and W are multiples of the patch.

        Returns
        -------
        Tensor of shape (B, out_channels, H / patch, W / patch)
            Image embeddings.

        Raises
        ------
        ValueError
            If a side is no multiple of the patch.
        """
        check_frame(x.shape, self.patch_size)
        x = self.patch_embed(x.to(self.pos_embed.dtype))  # (B, h, w, D)
        # The sum that the blocks add to stays in the weights' precision: in half precision, which
        # autocast would give it, it would round at each block, a quarter of the whole error.
        x = x.to(self.pos_embed.dtype) + self._positions(x.shape[1], x.shape[2])
        blocks = cast(list[Block], list(self.blocks))
        if vit.suits(x, blocks):
            x = vit.run_blocks(blocks, x)
        elif bfloat16_vit.suits(x, blocks):
            x = bfloat16_vit.run_blocks(blocks, x)
        else:
            for block in blocks:
                x = block(x)
        return self.neck(x.permute(0, 3, 1, 2))  # (B, C, h, w)

    def _positions(self, height: int, width: int) -> Tensor:
        """Positional embedding of a grid: (1, height, width, D)."""
        if self.pos_embed.shape[1:3] == (height, width):
            return self.pos_embed
        resized = functional.interpolate(
            self.pos_embed.float().permute(0, 3, 1, 2),  # (1, D, grid, grid)
            (height, width),
            mode="bicubic",
            antialias=True,
            align_corners=False,
        )
        return resized.permute(0, 2, 3, 1)  # (1, height, width, D)


class PatchEmbed(nn.Module):
    """Cut a frame into patches and embed each.

    Parameters
    ----------
    patch_size : int
        Side of a patch, in frame pixels.
    embed_dim : int
        Width of the tokens.
    """

    def __init__(self, patch_size: int, embed_dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, embed_dim, kernel_size=patch_size, stride=patch_size)

    def forward(self, x: Tensor) -> Tensor:
        """Project patches.

        Parameters
        ----------
        x : Tensor of shape (B, 3, H, W)
            Images.

        Returns
        -------
        Tensor of shape (B, H / patch, W / patch, D)
        """
        return self.proj(x).permute(0, 2, 3, 1)  # (B, h, w, D)


class Block(nn.Module):
    """A transformer block that attends globally or in windows.

    Parameters
    ----------
    dim : int
        Width of the tokens, D.
    num_heads : int
        Attention heads.
    mlp_ratio : float
        Hidden width of the MLP, in multiples of D.
    window_size : int
        Tokens to a window along each axis; 0 attends globally.
    input_size : int
        Tokens along each axis of the stored frame.
    """

    def __init__(
        self, dim: int, num_heads: int, mlp_ratio: float, *, window_size: int, input_size: int
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)
        self.attn = Attention(dim, num_heads, input_size=input_size, window_size=window_size)
        self.norm2 = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)
        self.mlp = MLPBlock(dim, int(dim * mlp_ratio))
        self.window_size = window_size

    def forward(self, x: Tensor) -> Tensor:
        """Attend, then transform each token by itself.

        Parameters
        ----------
        x : Tensor of shape (B, h, w, D)
            Tokens of a grid.

        Returns
        -------
        Tensor of the same shape
        """
        if self.window_size:
            # A row of windows needs no other, from the first norm to the last sum.
            return by_stripes(lambda rows: self._mlp(self._attend(rows)), x, self.window_size)
        return by_stripes(self._mlp, self._attend(x), STRIPE)

    def _attend(self, x: Tensor) -> Tensor:
        return x + self.attn(self.norm1(x))

    def _mlp(self, x: Tensor) -> Tensor:
        return x + self.mlp(self.norm2(x))


class Attention(nn.Module):
    """Multi-head attention with decomposed relative positions, over the grid or in windows.

    Parameters
    ----------
    dim : int
        Width of the tokens, D.
    num_heads : int
        Attention heads.
    input_size : int
        Tokens along each axis of the stored frame.
    window_size : int
        Tokens to a window along each axis; 0 attends globally.
    """

    def __init__(self, dim: int, num_heads: int, *, input_size: int, window_size: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.window_size = window_size
        self.qkv = Linear(dim, 3 * dim)
        self.proj = Linear(dim, dim)
        distances, head_dim = 2 * (window_size or input_size) - 1, dim // num_heads
        self.rel_pos_h = nn.Parameter(torch.zeros(distances, head_dim))
        self.rel_pos_w = nn.Parameter(torch.zeros(distances, head_dim))

    def forward(self, x: Tensor) -> Tensor:
        """Attend, all tokens to all or within windows.

        Parameters
        ----------
        x : Tensor of shape (B, h, w, D)
            Tokens of a grid.

        Returns
        -------
        Tensor of the same shape
        """
        height, width, dim = x.shape[1:]
        qkv = self.qkv(x)  # (B, h, w, 3 D)
        if self.window_size:
            # The grid is padded with zeros after the norm, and the padding is not masked: all that
            # is left of it are the projections of zeros.
            padding = self.qkv(x.new_zeros(1, dim))[0]  # (3 D,)
            qkv = to_windows(qkv, self.window_size, fill=padding)
        out = grid_attention(qkv, self.num_heads, self.rel_pos_h, self.rel_pos_w)
        if self.window_size:
            # In one piece: of a view, PyTorch would multiply each row by a copy of the weights.
            out = from_windows(out, (height, width)).contiguous()
        return self.proj(out)  # (B, h, w, D)
