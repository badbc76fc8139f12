"""The parts of a block that transform each token by itself, a number of rows at a time.

What lies between the layers stays in the caches.
"""

from __future__ import annotations

from numba import njit

from sam_plugins.modeling.kernels._elementwise import add, add_bias, gelu_of_sum, layer_norm
from sam_plugins.modeling.kernels._products import multiply


@njit(nogil=True, cache=True)
def project(x, first, last, norm, weight, bias, qkv, normal):
    """Normalise tokens, and give the queries, keys and values of each head.

    Parameters
    ----------
    x : ndarray of shape (N, D), float32
        Tokens.
    first, last : int
        Which of them.
    norm : tuple
        Weight (D,), bias (D,) and epsilon of the norm.
    weight : ndarray of shape (3 * D / COLUMNS, D, COLUMNS), float32
        From `pack`.
    bias : ndarray of shape (3 * heads, d), float32
        Of the queries, keys and values.
    qkv : ndarray of shape (3 * heads, N, d), float32
        Receives them.
    normal : ndarray of shape (1, last - first or more, D), float32
        Scratch.
    """
    rows = last - first
    layer_norm(x[first:last], norm[0], norm[1], norm[2], normal[0])
    multiply(normal[0], 0, rows, weight, qkv, first)
    for group in range(len(qkv)):
        add_bias(qkv[group, first:last], bias[group])


@njit(nogil=True, cache=True)
def add_projection(x, first, last, attended, projection, scratch):
    """Add the projected attention to tokens.

    Parameters
    ----------
    x : ndarray of shape (N, D), float32
        Tokens; replaced.
    first, last : int
        Which of them.
    attended : ndarray of shape (N, heads * d), float32
        What the heads gave.
    projection : tuple
        Its weight, from `pack`, and bias (D,).
    scratch : ndarray of shape (1, last - first or more, D), float32
    """
    rows = last - first
    multiply(attended, first, rows, projection[0], scratch, 0)
    add(scratch[0, :rows], projection[1], x[first:last])
    x[first:last] = scratch[0, :rows]


@njit(nogil=True, cache=True)
def add_mlp(x, first, last, norm, mlp, scratch):
    """Add their MLP to tokens.

    Parameters
    ----------
    x : ndarray of shape (1, N, D), float32
        Tokens; replaced.
    first, last : int
        Which of them.
    norm : tuple
        Weight (D,), bias (D,) and epsilon of the norm before the MLP.
    mlp : tuple
        Weight, from `pack`, bias, weight and bias of its two layers.
    scratch : tuple of ndarray
        Tokens (1, R, D), normalised (1, R, D) and hidden (1, R, H), R being ``last - first`` or
        more.
    """
    scratch[0][0, : last - first] = x[0, first:last]
    _add_mlp_of_scratch(x, first, last, norm, mlp, scratch)


@njit(nogil=True, cache=True)
def finish(x, first, last, attended, projection, norm, mlp, scratch):
    """End a block: add the projected attention to tokens, then their MLP; see `add_mlp`.

    Parameters
    ----------
    attended : ndarray of shape (N, D), float32
        What the heads gave.
    projection : tuple
        Its weight, from `pack`, and bias (D,).
    """
    tokens, rows = scratch[0], last - first
    multiply(attended, first, rows, projection[0], tokens, 0)
    add(tokens[0, :rows], projection[1], x[0, first:last])
    _add_mlp_of_scratch(x, first, last, norm, mlp, scratch)


@njit(nogil=True, cache=True)
def _add_mlp_of_scratch(x, first, last, norm, mlp, scratch):
    rows = last - first
    tokens, normal, hidden = scratch
    layer_norm(tokens[0, :rows], norm[0], norm[1], norm[2], normal[0])
    multiply(normal[0], 0, rows, mlp[0], hidden, 0)
    gelu_of_sum(hidden[0, :rows], mlp[1])
    multiply(hidden[0], 0, rows, mlp[2], x, first)
    add(x[0, first:last], mlp[3], tokens[0])
