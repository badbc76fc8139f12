"""The image's side of the mask decoder's transformer in bfloat16, some image tokens at a time.

Between two steps of the tokens, image tokens look for tokens, and then the tokens for image tokens.
All products are taken with the image tokens as they are: the projections are in what comes from the
few tokens' side, a row to each head of a token. So an image token is fetched from memory and put
back once, and its projections never are. Image tokens and the factors of products are rounded; sums
and weights are float32.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from sam_plugins.modeling.kernels._memory import aligned
from sam_plugins.modeling.kernels._norms import add_numbers, norm_sums
from sam_plugins.modeling.kernels.bfloat16._blocks import (
    BLOCK,
    PAIR,
    SIDE,
    STEP,
    add_block,
    close_tiles,
    open_tiles,
)
from sam_plugins.modeling.kernels.bfloat16._crossing import share_columns, share_rows
from sam_plugins.modeling.kernels.bfloat16._numbers import pair_rows, rounded
from sam_plugins.modeling.kernels.bfloat16._products import multiply

# Image tokens at once: 180 kB with their sums and weights.
TOKENS = 64
# So many times these are taken for one prompt after the other, while they are in the caches.
GROUP = 4


class Scratch(NamedTuple):
    """What a thread needs."""

    located: np.ndarray  # (TOKENS, C), uint16: image tokens with their positions
    weights: np.ndarray  # (TOKENS, R), float32
    shares: np.ndarray  # (TOKENS, R), uint16: of tokens in an image token
    columns: np.ndarray  # (R, TOKENS), uint16: of image tokens in a token
    written: np.ndarray  # (TOKENS, C), float32
    values: np.ndarray  # (C / SIDE, TOKENS / PAIR, SIDE), uint32: image tokens in panels
    shrinking: np.ndarray  # (R,), float32


def make_scratch(rows: int, channels: int) -> Scratch:
    """Allocate what a thread needs.

    Parameters
    ----------
    rows : int
        Heads times tokens, filled up.
    channels : int
        Of a token, C.

    Returns
    -------
    Scratch
    """
    return Scratch(
        aligned((TOKENS, channels), np.uint16),
        aligned((TOKENS, rows)),
        aligned((TOKENS, rows), np.uint16),
        aligned((rows, TOKENS), np.uint16),
        aligned((TOKENS, channels)),
        aligned((channels // SIDE, TOKENS // PAIR, SIDE), np.uint32),
        aligned((rows,)),
    )


@njit(nogil=True, cache=True)
def read(keys, first, last, positions, sought, found, scratch):
    """Let tokens of P prompts look for image tokens.

    Parameters
    ----------
    keys : ndarray of shape (P or 1, N, C), uint16
        Image tokens.
    first, last : int
        Which of them, whole blocks.
    positions : ndarray of shape (N, C), uint16
        Their positional encoding.
    sought : ndarray of shape (P, R / SIDE, C / PAIR, SIDE), uint32
        For each head of a token, what located image tokens are multiplied by: a panel's columns.
    found : Found
        Is added to.
    scratch : Scratch
    """
    open_tiles()
    for group in range(first, last, GROUP * TOKENS):
        for prompt in range(len(sought)):
            image, panels = keys[prompt % len(keys)], sought[prompt]
            for start in range(group, min(last, group + GROUP * TOKENS), TOKENS):
                tokens = min(TOKENS, last - start)
                _read(image, start, tokens, positions, panels, found, prompt, scratch)
    close_tiles()


@njit(nogil=True, cache=True)
def write_and_read(keys, first, last, positions, answers, out, sought, found, scratch):
    """Let image tokens look for tokens, and then tokens for what has become of image tokens.

    Parameters
    ----------
    keys, first, last, positions, sought, found, scratch
        As in `read`.
    answers : Answers
        What image tokens find.
    out : ndarray of shape (P, N, C), uint16
        Receives the image tokens; may be ``keys``.
    """
    open_tiles()
    for group in range(first, last, GROUP * TOKENS):
        for prompt in range(len(sought)):
            image, target, panels = keys[prompt % len(keys)], out[prompt], sought[prompt]
            for start in range(group, min(last, group + GROUP * TOKENS), TOKENS):
                tokens = min(TOKENS, last - start)
                _write(image, start, tokens, positions, answers, prompt, target, scratch)
                _read(target, start, tokens, positions, panels, found, prompt, scratch)
    close_tiles()


@njit(nogil=True, cache=True)
def _read(keys, first, tokens, positions, sought, found, prompt, scratch):
    weights, columns, values, sums = (
        scratch.weights, scratch.columns, scratch.values, found.sums[prompt],
    )  # fmt: skip
    rows, channels = weights.shape[1], keys.shape[1]
    start, size = first * channels, TOKENS // PAIR * SIDE
    add_numbers(keys, start, positions, start, tokens * channels, scratch.located)
    multiply(scratch.located, 0, tokens, sought, weights)
    share_columns(
        weights, tokens, rows, found.largest[prompt], found.totals[prompt], scratch.shrinking
    )
    _turn(weights, tokens, columns)
    for step in range(tokens // PAIR):
        pair_rows(keys, start + PAIR * step * channels, channels, values, step * SIDE, size)
    shrink(sums, scratch.shrinking)
    for part in range(0, channels, BLOCK):
        for row in range(0, rows, BLOCK):
            add_block(
                columns, row * TOKENS, TOKENS, STEP,
                values, part // SIDE * size, size,
                sums, row * channels + part, channels, SIDE, tokens // STEP,
            )  # fmt: skip


@njit(nogil=True, cache=True)
def _write(keys, first, tokens, positions, answers, prompt, out, scratch):
    weights, channels, start = scratch.weights, keys.shape[1], first * keys.shape[1]
    add_numbers(keys, start, positions, start, tokens * channels, scratch.located)
    multiply(scratch.located, 0, tokens, answers.questions[prompt], weights)
    share_rows(weights, tokens, weights.shape[1], answers.heads, answers.offsets[prompt])
    _round(weights, tokens, scratch.shares)
    multiply(scratch.shares, 0, tokens, answers.answers[prompt], scratch.written)
    norm_sums(
        scratch.written, keys, start, channels, tokens, channels,
        answers.weight, answers.bias, answers.eps, out, start,
    )  # fmt: skip


@njit(nogil=True, cache=True)
def _round(weights, tokens, out):
    """Round rows to bfloat16."""
    for token in range(tokens):
        for i in range(weights.shape[1]):
            out[token, i] = rounded(weights[token, i])


@njit(nogil=True, cache=True)
def _turn(weights, tokens, out):
    """Round rows to bfloat16, and make columns of them."""
    for token in range(tokens):
        for i in range(weights.shape[1]):
            out[i, token] = rounded(weights[token, i])


@njit(nogil=True, cache=True)
def shrink(sums, factors):
    """Multiply rows (R, C) by factors (R,), most of which are 1."""
    for r in range(len(sums)):
        factor = factors[r]
        if factor != 1:
            row = sums[r]
            for i in range(len(row)):
                row[i] *= factor


@njit(nogil=True, cache=True)
def add_shares(sums, factors, out):
    """Add the product of rows (P, R, C) and factors (P, R) to other rows."""
    for prompt in range(len(sums)):
        for r in range(sums.shape[1]):
            factor, row, total = factors[prompt, r], sums[prompt, r], out[prompt, r]
            for i in range(len(row)):
                total[i] += factor * row[i]
