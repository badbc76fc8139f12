"""Attention over a grid with decomposed relative positions (MViTv2, arXiv 2112.01526; ViTDet).

To the product of a query and a key is added what the query says about their distance along each
axis. The sum of both is a matrix of tokens x tokens for each head, 800 MB for one block of ViT-B at
1024 pixels. On a CPU it is made and used piece by piece, so that it never leaves the caches; in
half precision it is not made at all, but folded into the queries and keys.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from sam_plugins.modeling.cpu import runs_eagerly_on_cpu

# Query-key pairs that are weighed at once on a CPU: 8 MB of float32, a part of the caches.
PAIRS_AT_ONCE = 2**21
# The same in bfloat16, held twice, before and after the softmax.
FOLDED_PAIRS = 2**21
# What a GPU's fused attention takes: these precisions, and widths of a head that are multiples.
FLASH, FLASH_WIDTH = (torch.bfloat16, torch.float16), 8


def grid_attention(qkv: Tensor, num_heads: int, table_h: Tensor, table_w: Tensor) -> Tensor:
    """Attend within each grid of a batch.

    Parameters
    ----------
    qkv : Tensor of shape (B, h, w, 3 * D)
        Queries, keys and values, each with its heads one after the other.
    num_heads : int
        Attention heads.
    table_h, table_w : Tensor of shape (2 * stored - 1, D / num_heads)
        An embedding for each distance along an axis, see `relative_positions`.

    Returns
    -------
    Tensor of shape (B, h, w, D)

    Notes
    -----
    The positions are weighed with the queries as they are; only the product with the keys is
    scaled by the root of a head's width.
    """
    batch, height, width, channels = qkv.shape
    tokens = height * width
    heads = qkv.reshape(batch, tokens, 3, num_heads, -1)  # (B, N, 3, heads, d)
    q, k, v = heads.permute(2, 0, 3, 1, 4)  # (B, heads, N, d) each
    grid = q.unflatten(2, (height, width))  # (B, heads, h, w, d)
    positions_h = relative_positions(table_h, height).to(q.dtype)  # (h, h, d)
    positions_w = relative_positions(table_w, width).to(q.dtype)  # (w, w, d)
    bias_h = torch.einsum("bnyxd,ykd->bnyxk", grid, positions_h)  # (B, heads, h, w, h)
    bias_w = torch.einsum("bnyxd,xkd->bnyxk", grid, positions_w)  # (B, heads, h, w, w)
    if runs_eagerly_on_cpu(qkv) and q.dtype == torch.bfloat16:
        out = _attend_folded(q, k, v, bias_h, bias_w)
    elif qkv.is_cuda and q.dtype in FLASH and not torch.is_grad_enabled():
        out = attend_at_once(q, k, v, bias_h, bias_w)
    elif runs_eagerly_on_cpu(qkv):
        out = _attend_in_pieces(q, k, v, bias_h, bias_w)  # (B, N, heads, d)
    else:
        bias = _sum(bias_h, bias_w)  # (B, heads, N, N)
        out = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2)
    return out.reshape(batch, height, width, channels // 3)


def _attend_folded(q: Tensor, k: Tensor, v: Tensor, bias_h: Tensor, bias_w: Tensor) -> Tensor:
    """Attend with the bias as further channels of the queries; those of a key say where it lies.

    In bfloat16 a CPU multiplies these faster than it adds the bias to each pair.
    """
    batch, num_heads, tokens, head_dim = q.shape
    queries = _with_bias(q, bias_h, bias_w)  # (B, heads, N, d + h + w)
    places = _places(bias_h, bias_w)  # (h + w, N)
    heads_at_once = min(num_heads, max(1, FOLDED_PAIRS // tokens**2))
    tokens_at_once = min(tokens, max(1, FOLDED_PAIRS // tokens))
    out = q.new_empty(batch, tokens, num_heads, head_dim)
    for image in range(batch):
        for first in range(0, num_heads, heads_at_once):
            heads = slice(first, first + heads_at_once)
            located = places.expand(len(k[image, heads]), -1, -1)  # (heads, h + w, N)
            keys = torch.cat([k[image, heads].mT, located], dim=1)  # (heads, d + h + w, N)
            values = v[image, heads].contiguous()
            for start in range(0, tokens, tokens_at_once):
                part = slice(start, start + tokens_at_once)
                weights = (queries[image, heads, part] @ keys).softmax(-1)  # (heads, part, N)
                out[image, part, heads] = (weights @ values).transpose(0, 1)
    return out


def attend_at_once(q: Tensor, k: Tensor, v: Tensor, bias_h: Tensor, bias_w: Tensor) -> Tensor:
    """Attend with the bias folded in, by one call of the fused attention.

    Parameters
    ----------
    q, k, v : Tensor of shape (B, heads, N, d)
        Queries, keys and values of N = h * w tokens.
    bias_h : Tensor of shape (B, heads, h, w, h)
        What each query adds for each row of keys.
    bias_w : Tensor of shape (B, heads, h, w, w)
        The same for each column.

    Returns
    -------
    Tensor of shape (B, N, heads, d)

    Notes
    -----
    The sum over the channels is that of the bias form, so that the results differ by rounding
    alone. Values are as wide as keys, because the fastest kernels know one width only.
    """
    head_dim = q.shape[-1]
    queries = _with_bias(q, bias_h, bias_w)  # (B, heads, N, d + h + w)
    located = _places(bias_h, bias_w).T.expand(*k.shape[:2], -1, -1)  # (B, heads, N, h + w)
    keys = torch.cat([k, located], dim=-1)  # (B, heads, N, d + h + w)
    width = -(-keys.shape[-1] // FLASH_WIDTH) * FLASH_WIDTH
    queries, keys, v = (functional.pad(x, (0, width - x.shape[-1])) for x in (queries, keys, v))
    out = functional.scaled_dot_product_attention(queries, keys, v, scale=1.0)
    return out[..., :head_dim].transpose(1, 2)


def _with_bias(q: Tensor, bias_h: Tensor, bias_w: Tensor) -> Tensor:
    """Scaled queries with their biases as further channels: (B, heads, N, d + h + w)."""
    scaled = q * q.shape[-1] ** -0.5
    return torch.cat([scaled, bias_h.flatten(2, 3), bias_w.flatten(2, 3)], dim=-1)


def _places(bias_h: Tensor, bias_w: Tensor) -> Tensor:
    """Row and column of each key, one of h and one of w channels being 1: (h + w, N)."""
    height, width = bias_h.shape[-1], bias_w.shape[-1]
    rows, columns = (
        torch.eye(side, dtype=bias_h.dtype, device=bias_h.device) for side in (height, width)
    )
    return torch.cat([rows.repeat_interleave(width, 1), columns.repeat(1, height)])


def _attend_in_pieces(q: Tensor, k: Tensor, v: Tensor, bias_h: Tensor, bias_w: Tensor) -> Tensor:
    """Attend with the bias of a few heads, or of some rows of one head, at a time."""
    batch, num_heads, tokens, head_dim = q.shape
    height, width = bias_h.shape[-1], bias_w.shape[-1]
    heads_at_once = min(num_heads, max(1, PAIRS_AT_ONCE // tokens**2))
    rows_at_once = min(height, max(1, PAIRS_AT_ONCE // (width * tokens)))
    out = q.new_empty(batch, tokens, num_heads, head_dim)
    for image in range(batch):
        for first in range(0, num_heads, heads_at_once):
            heads = slice(first, first + heads_at_once)
            # Rows of one head lie far apart between the other heads': gathered once for all pieces.
            keys, values = (x[image, None, heads].contiguous() for x in (k, v))
            for top in range(0, height, rows_at_once):
                rows = slice(top, top + rows_at_once)
                part = slice(top * width, (top + rows_at_once) * width)
                out[image, part, heads] = functional.scaled_dot_product_attention(
                    q[image, None, heads, part],
                    keys,
                    values,
                    attn_mask=_sum(
                        bias_h[image, None, heads, rows], bias_w[image, None, heads, rows]
                    ),
                )[0].transpose(0, 1)  # (part, heads, d)
    return out


def _sum(bias_h: Tensor, bias_w: Tensor) -> Tensor:
    """Bias of each query-key pair: (B, heads, h, w, keys h), (.., keys w) to (B, heads, N, N)."""
    bias = bias_h[..., :, None] + bias_w[..., None, :]  # (B, heads, h, w, keys h, keys w)
    return bias.flatten(4).flatten(2, 3)


def relative_positions(table: Tensor, size: int) -> Tensor:
    """Relative position embedding of each pair of ``size`` positions on an axis.

    Parameters
    ----------
    table : Tensor of shape (2 * stored - 1, d)
        One embedding for each distance, from the most negative to the most positive.
    size : int
        Positions on the axis. The table is resized linearly if it was stored for another size.

    Returns
    -------
    Tensor of shape (size, size, d)
        Row: query, column: key.

    Examples
    --------
    >>> table = torch.tensor([[-1.0], [0.0], [1.0]])
    >>> relative_positions(table, 2)[..., 0].tolist()
    [[0.0, -1.0], [1.0, 0.0]]
    """
    length = 2 * size - 1
    if table.shape[0] != length:
        table = functional.interpolate(
            table.float().T[None], size=length, mode="linear", align_corners=False
        )[0].T  # (length, d)
    positions = torch.arange(size, device=table.device)
    distance = positions[:, None] - positions[None, :] + (size - 1)  # (size, size)
    return table[distance]
