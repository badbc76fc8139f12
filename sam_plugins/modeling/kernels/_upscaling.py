"""The mask decoder's last steps, some image tokens at a time: from them to the logits of masks."""

from __future__ import annotations

from numba import njit

from sam_plugins.modeling.kernels._elementwise import gelu_of_sum
from sam_plugins.modeling.kernels._norms import norm_sums
from sam_plugins.modeling.kernels._products import multiply

# Image tokens at once: 260 kB of finer and finer tokens.
TOKENS = 64


@njit(nogil=True, cache=True)
def upscale(first, last, x, width, first_layer, norm, second_layer, weights, masks, scratch):
    """Upscale image tokens twice, 2 x 2 to each, and weigh their channels for each mask.

    Parameters
    ----------
    first, last : int
        Which image tokens, ROWS to TOKENS.
    x : ndarray of shape (N, C), float32
        Image tokens, row by row.
    width : int
        Tokens to a row.
    first_layer, second_layer : tuple
        Weights of the transposed convolutions, 2 x 2 pixels with their channels, in panels, and
        biases (4 * channels,).
    norm : tuple
        Weight (C / 4,), bias (C / 4,), zeros (C / 4,) and epsilon of the norm between them.
    weights : ndarray of shape (1, C / 8, COLUMNS), float32
        A panel whose first K columns are those of the masks.
    masks : ndarray of shape (K, 4 * h, 4 * w), float32
        Receives the logits.
    scratch : tuple of ndarray
        (1, 4 * TOKENS, C / 4), (1, 4 * TOKENS, C / 2) and
        (1, 16 * TOKENS, COLUMNS).
    """
    tokens = last - first
    normal, finest, logits = scratch
    scale, bias, zeros, eps = norm
    multiply(x, first, tokens, first_layer[0], normal.reshape((1, TOKENS, x.shape[1])), 0)
    norm_sums(
        normal, first_layer[1], 0, 0, 4 * tokens, normal.shape[2], scale, zeros, eps, normal, 0
    )
    gelu_of_sum(normal[0, : 4 * tokens], bias)
    multiply(normal[0], 0, 4 * tokens, second_layer[0], finest, 0)
    gelu_of_sum(finest[0, : 4 * tokens], second_layer[1])
    pixels = finest.reshape((16 * finest.shape[1] // 4, finest.shape[2] // 4))
    multiply(pixels, 0, 16 * tokens, weights, logits, 0)
    place(first, tokens, width, logits[0], masks)


@njit(nogil=True, cache=True)
def place(first, tokens, width, logits, masks):
    """Put logits in their places, which come 2 x 2 by 2 x 2 in each token.

    Parameters
    ----------
    first, tokens : int
        The first image token, and how many.
    width : int
        Tokens to a row of the image.
    logits : ndarray of shape (16 * tokens or more, K or more), float32
    masks : ndarray of shape (K, 4 * h, 4 * w), float32
        Receives them.
    """
    for token in range(tokens):
        top, left = 4 * ((first + token) // width), 4 * ((first + token) % width)
        for mask in range(len(masks)):
            for pixel in range(16):
                outer, inner = pixel // 4, pixel % 4
                y = top + 2 * (outer // 2) + inner // 2
                x = left + 2 * (outer % 2) + inner % 2
                masks[mask, y, x] = logits[16 * token + pixel, mask]
