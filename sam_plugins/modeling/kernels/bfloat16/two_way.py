"""The mask decoder's transformer with its image side in bfloat16 by compiled kernels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from sam_plugins.modeling.kernels import processor
from sam_plugins.modeling.kernels._memory import aligned, filled, zeros
from sam_plugins.modeling.kernels.layers import array, norm_parts
from sam_plugins.modeling.two_way_transformer import is_plain
from sam_plugins.threads import share

if TYPE_CHECKING:
    from sam_plugins.modeling.two_way_transformer import (
        Attention,
        TwoWayAttentionBlock,
        TwoWayTransformer,
    )

# Image tokens that a thread takes at once. What is found in all parts of an image is added up, so
# that results would depend on the number of threads if this did.
PART = 512
# Tokens of a prompt for whose heads projected rows are no more than the image's projections.
MOST = 32


class Found(NamedTuple):
    """What tokens of P prompts have found in a part of the image.

    Parameters
    ----------
    sums : ndarray of shape (P, R, C), float32
        Weighed image tokens for each head of a token: R are tokens times heads, filled up.
    largest : ndarray of shape (P, R), float32
        The largest weights.
    totals : ndarray of shape (P, R), float32
        Sums of two to the power of weights less the largest.
    """

    sums: np.ndarray
    largest: np.ndarray
    totals: np.ndarray


class Answers(NamedTuple):
    """What image tokens find among the tokens of P prompts.

    Parameters
    ----------
    questions : ndarray of shape (P, R / SIDE, C / PAIR, SIDE), uint32
        For each head of a token, what located image tokens are multiplied by: a panel's columns.
    offsets : ndarray of shape (P, R), float32
        What is added to that; minus infinity where there is no token.
    answers : ndarray of shape (P, C / SIDE, R / PAIR, SIDE), uint32
        What each head of a token brings, in panels.
    weight, bias : ndarray of shape (C,), float32
        Of the norm that follows.
    eps : float
        Added to the norm's variance.
    heads : int
        Of a token.
    """

    questions: np.ndarray
    offsets: np.ndarray
    answers: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    eps: float
    heads: int


def suits(transformer: TwoWayTransformer, image: Tensor, tokens: int) -> bool:
    """Tell whether kernels can do the image's side, on a processor where they are the fastest.

    Parameters
    ----------
    transformer : TwoWayTransformer
    image : Tensor of shape (B, C, h, w)
        Image embeddings.
    tokens : int
        Of one prompt, with the output tokens.

    Returns
    -------
    bool
    """
    if not (processor.can_take_bfloat16(image) and image.dtype == torch.float32):
        return False
    from sam_plugins.modeling.kernels._vectors import LANES
    from sam_plugins.modeling.kernels.bfloat16._blocks import BLOCK

    _, channels, height, width = image.shape
    return (
        tokens <= MOST
        and is_plain(transformer)
        and LANES % transformer.final_attn_token_to_image.num_heads == 0
        and channels % BLOCK == (height * width) % BLOCK == 0
        and all(weight.dtype == torch.float32 for weight in transformer.parameters())
        and all(type(layer.norm4) is nn.LayerNorm for layer in _layers(transformer))
    )


def run(
    transformer: TwoWayTransformer, keys: Tensor, positions: Tensor, tokens: Tensor
) -> tuple[Tensor, Tensor]:
    """Update the tokens of P prompts and the image's with each other.

    Parameters
    ----------
    transformer : TwoWayTransformer
        For which `suits` is true.
    keys : Tensor of shape (P or 1, N, C)
        Image tokens, one set for all prompts or one a prompt.
    positions : Tensor of shape (N, C)
        Their positional encoding.
    tokens : Tensor of shape (P, T, C)
        The output tokens and the prompt's tokens.

    Returns
    -------
    tokens : Tensor of shape (P, T, C)
    keys : Tensor of shape (P, N, C)
        In bfloat16.

    Notes
    -----
    The same as `TwoWayTransformer.forward`, but for rounding: (W k) q = k (W^T q), and tokens are
    so few that taking these through the projections is cheaper.
    """
    queries, answers = tokens, None
    keys, positions = keys.to(torch.bfloat16), positions.to(torch.bfloat16)
    for index, layer in enumerate([*_layers(transformer), None]):
        if layer is None:
            reader, norm = transformer.final_attn_token_to_image, transformer.norm_final_attn
        else:
            queries = layer.attend_to_tokens(queries, tokens)
            reader, norm = layer.cross_attn_token_to_image, layer.norm2
        sought = _sought(reader, queries + tokens)
        # What the first layer gives may change; what was given to it must not.
        found, keys = _search(keys, positions, sought, answers, in_place=index > 1)
        queries = norm(queries + _projected(reader, found))
        if layer is not None:
            queries = layer.norm3(queries + layer.mlp(queries))
            answers = _answers(layer, queries + tokens, queries)
    return queries, keys


def _layers(transformer: TwoWayTransformer) -> list[TwoWayAttentionBlock]:
    return cast("list[TwoWayAttentionBlock]", list(transformer.layers))


def _sought(attention: Attention, q: Tensor) -> Tensor:
    """What located image tokens are multiplied by for tokens (P, T, C): (P, T * heads, C)."""
    from sam_plugins.modeling.kernels._softmax import LOG2_E

    heads = _heads(attention, attention.q_proj(q)) * (attention.scale * float(LOG2_E))
    # The keys' bias adds the same to all weights of a query, which the softmax takes away.
    return _side_by_side(heads @ attention.heads_of(attention.k_proj), len(q))


def _projected(attention: Attention, found: Tensor) -> Tensor:
    """Map what was found in image tokens, (P, T * heads, C), to (P, T, C)."""
    prompts, count = len(found), attention.num_heads
    heads = found.reshape(-1, count, found.shape[2]).transpose(0, 1)  # (heads, P * T, C)
    out = heads @ attention.heads_of(attention.v_proj).mT  # (heads, P * T, d)
    out = out.transpose(0, 1).reshape(prompts, found.shape[1] // count, -1)  # (P, T, inner)
    return attention.out_proj(out + attention.v_proj.bias)


def _answers(layer: TwoWayAttentionBlock, k: Tensor, v: Tensor) -> Answers:
    """What image tokens find among tokens, whose keys and values are made of k and v (P, T, C)."""
    from sam_plugins.modeling.kernels._softmax import LOG2_E
    from sam_plugins.modeling.kernels.bfloat16._blocks import BLOCK
    from sam_plugins.modeling.kernels.bfloat16._numbers import in_panels

    attention, prompts = layer.cross_attn_image_to_token, len(k)
    keys = _heads(attention, attention.k_proj(k)) * (attention.scale * float(LOG2_E))
    bias = attention.q_proj.bias.view(attention.num_heads, -1, 1)  # (heads, d, 1)
    out = attention.out_proj.weight.unflatten(1, (attention.num_heads, -1)).permute(1, 2, 0)
    values = _heads(attention, attention.v_proj(v)) @ out  # (heads, P * T, C)
    # A head's shares sum up to 1: each brings its part of the bias.
    brought = _side_by_side(values, prompts) + attention.out_proj.bias / attention.num_heads
    asked = _side_by_side(keys @ attention.heads_of(attention.q_proj), prompts)
    _, count, channels = asked.shape
    rows = filled(count, BLOCK)
    offsets = np.full((prompts, rows), -np.inf, np.float32)
    offsets[:, :count] = _side_by_side(keys @ bias, prompts)[..., 0]
    return Answers(
        in_panels(array(asked), rows, channels),
        offsets,
        in_panels(array(brought.mT), channels, rows),
        *norm_parts(layer.norm4),
        attention.num_heads,
    )


def _heads(attention: Attention, x: Tensor) -> Tensor:
    """Separate the heads: (P, T, inner) to (heads, P * T, d)."""
    return x.flatten(0, 1).unflatten(-1, (attention.num_heads, -1)).transpose(0, 1)


def _side_by_side(x: Tensor, prompts: int) -> Tensor:
    """Put the heads of a token side by side: (heads, P * T, c) to (P, T * heads, c)."""
    return x.transpose(0, 1).reshape(prompts, -1, x.shape[2])


def _search(
    keys: Tensor,
    positions: Tensor,
    sought: Tensor,
    answers: Answers | None,
    *,
    in_place: bool,
) -> tuple[Tensor, Tensor]:
    """Let image tokens find answers, then tokens image tokens: (P, S, C) and (P or 1, N, C)."""
    from sam_plugins.modeling.kernels.bfloat16 import _two_way
    from sam_plugins.modeling.kernels.bfloat16._blocks import BLOCK
    from sam_plugins.modeling.kernels.bfloat16._numbers import in_panels

    prompts, count, channels = sought.shape
    rows, source, located = filled(count, BLOCK), _numbers(keys), _numbers(positions)
    panels = in_panels(array(sought), rows, channels)
    written = source
    if not (answers is None or in_place):
        written = aligned((prompts, *source.shape[1:]), np.uint16)
    starts = range(0, source.shape[1], PART)
    found = [_nothing(prompts, rows, channels) for _ in starts]

    def work(parts: Iterator[int]) -> None:
        scratch = _two_way.make_scratch(rows, channels)
        for part in parts:
            end = min(source.shape[1], starts[part] + PART)
            image, last = (source, starts[part], end, located), (found[part], scratch)
            if answers is None:
                _two_way.read(*image, panels, *last)
            else:
                _two_way.write_and_read(*image, answers, written, panels, *last)

    share(range(len(starts)), work)
    out = torch.from_numpy(written).view(torch.bfloat16)
    return torch.from_numpy(_together(found)[:, :count]), out


def _numbers(tokens: Tensor) -> np.ndarray:
    """Give tokens in bfloat16 as the kernels take them."""
    return array(tokens.view(torch.uint16))


def _nothing(prompts: int, rows: int, channels: int) -> Found:
    shape = prompts, rows
    largest = np.full(shape, -np.inf, np.float32)
    return Found(zeros((*shape, channels)), largest, np.zeros(shape, np.float32))


def _together(found: list[Found]) -> np.ndarray:
    """Divide what was found in all parts of the image by the weights: (P, R, C)."""
    from sam_plugins.modeling.kernels.bfloat16._two_way import add_shares

    largest = np.max([each.largest for each in found], axis=0)
    shares = np.exp2([each.largest - largest for each in found])  # (parts, P, R)
    shares /= sum(share * each.totals for share, each in zip(shares, found, strict=True))
    out = np.zeros_like(found[0].sums)
    for each, factors in zip(found, shares, strict=True):
        add_shares(each.sums, factors, out)
    return out
