"""SAM's image encoder: a ViT with windowed and global attention and relative positions.

Written after the paper (§A), ViTDet (arXiv 2203.16527) and the released weights' key names.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sam_plugins.modeling.configs import ViTConfig
from sam_plugins.modeling.layers import MLPBlock, check_frame, neck

# The released weights were trained with it; PyTorch's default is 1e-5.
LAYER_NORM_EPS = 1e-6


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
        """Encode (B, 3, H, W), normalised, to (B, out_channels, H / patch, W / patch)."""
        check_frame(x.shape, self.patch_size)
        x = self.patch_embed(x)  # (B, h, w, D)
        x = x + self._positions(x.shape[1], x.shape[2]).to(x.dtype)
        for block in self.blocks:
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
        """Map (B, 3, H, W) to (B, H / patch, W / patch, D)."""
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
        self.attn = Attention(dim, num_heads, input_size=window_size or input_size)
        self.norm2 = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)
        self.mlp = MLPBlock(dim, int(dim * mlp_ratio))
        self.window_size = window_size

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, h, w, D) to the same shape."""
        normal = self.norm1(x)
        attended = self._in_windows(normal) if self.window_size else self.attn(normal)
        x = x + attended
        return x + self.mlp(self.norm2(x))

    def _in_windows(self, x: Tensor) -> Tensor:
        """Attend in windows; the grid is padded with zeros after the norm, and not masked."""
        batch, height, width, dim = x.shape
        size = self.window_size
        rows, columns = -(-height // size), -(-width // size)
        x = functional.pad(x, (0, 0, 0, columns * size - width, 0, rows * size - height))
        x = x.view(batch, rows, size, columns, size, dim)
        x = x.transpose(2, 3).reshape(-1, size, size, dim)  # (B * rows * columns, size, size, D)
        x = self.attn(x)
        x = x.view(batch, rows, columns, size, size, dim).transpose(2, 3)
        x = x.reshape(batch, rows * size, columns * size, dim)
        return x[:, :height, :width]  # (B, h, w, D)


class Attention(nn.Module):
    """Multi-head attention with decomposed relative positions (ViTDet; MViTv2).

    Parameters
    ----------
    dim : int
        Width of the tokens, D.
    num_heads : int
        Attention heads.
    input_size : int
        Tokens along each axis that the relative positions are stored for.
    """

    def __init__(self, dim: int, num_heads: int, *, input_size: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        head_dim = dim // num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * input_size - 1, head_dim))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * input_size - 1, head_dim))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, h, w, D) to the same shape."""
        batch, height, width, dim = x.shape
        tokens = height * width
        qkv = self.qkv(x).view(batch, tokens, 3, self.num_heads, -1)  # (B, N, 3, heads, d)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B, heads, N, d) each
        bias = self._position_bias(q, height, width)
        out = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        out = out.transpose(1, 2).reshape(batch, height, width, dim)
        return self.proj(out)

    def _position_bias(self, q: Tensor, height: int, width: int) -> Tensor:
        """Bias of each query-key pair, from the unscaled queries: (B, heads, N, N)."""
        batch, heads, tokens, head_dim = q.shape
        table_h = relative_positions(self.rel_pos_h, height).to(q.dtype)  # (h, h, d)
        table_w = relative_positions(self.rel_pos_w, width).to(q.dtype)  # (w, w, d)
        grid = q.reshape(batch * heads, height, width, head_dim)
        bias_h = torch.einsum("byxd,ykd->byxk", grid, table_h)  # (B * heads, h, w, h)
        bias_w = torch.einsum("byxd,xkd->byxk", grid, table_w)  # (B * heads, h, w, w)
        bias = bias_h[..., :, None] + bias_w[..., None, :]  # (B * heads, h, w, h, w)
        return bias.reshape(batch, heads, tokens, tokens)


def relative_positions(table: Tensor, size: int) -> Tensor:
    """Relative position embedding of each pair of ``size`` positions on an axis.

    Parameters
    ----------
    table : Tensor of shape (2 * stored - 1, d)
        One embedding a distance, from the most negative to the most positive.
    size : int
        Positions on the axis. The table is resized linearly if it was stored for another size.

    Returns
    -------
    Tensor of shape (size, size, d)
        Row: query, column: key.
    """
    length = 2 * size - 1
    if table.shape[0] != length:
        table = functional.interpolate(
            table.float().T[None], size=length, mode="linear", align_corners=False
        )[0].T  # (length, d)
    positions = torch.arange(size, device=table.device)
    distance = positions[:, None] - positions[None, :] + (size - 1)  # (size, size)
    return table[distance]
