"""The mask decoder's transformer: tokens attend to the image, and the image to the tokens.

Paper, §A ("Lightweight mask decoder"). Positional encodings are added to queries and keys at each
attention, so that the layers always know where things are.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sam_plugins.modeling.cpu import Linear
from sam_plugins.modeling.image_tokens import in_rows
from sam_plugins.modeling.layers import MLPBlock


class TwoWayTransformer(nn.Module):
    """Update prompt tokens and image tokens with each other.

    Parameters
    ----------
    depth : int
        Number of layers.
    embedding_dim : int
        Width of the tokens, C.
    num_heads : int
        Attention heads; C must be a multiple.
    mlp_dim : int
        Hidden width of the MLPs.
    attention_downsample_rate : int
        Cross-attention works in C / rate channels.
    """

    def __init__(
        self,
        depth: int,
        embedding_dim: int,
        num_heads: int,
        mlp_dim: int,
        attention_downsample_rate: int = 2,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TwoWayAttentionBlock(
                embedding_dim,
                num_heads,
                mlp_dim,
                attention_downsample_rate,
                skip_first_layer_pe=index == 0,
            )
            for index in range(depth)
        )
        self.final_attn_token_to_image = Attention(
            embedding_dim, num_heads, attention_downsample_rate
        )
        self.norm_final_attn = nn.LayerNorm(embedding_dim)

    def forward(
        self, image_embedding: Tensor, image_pe: Tensor, point_embedding: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Run all layers.

        Parameters
        ----------
        image_embedding : Tensor of shape (B or 1, C, h, w)
            One for all prompts (1), or one a prompt.
        image_pe : Tensor of shape (1, C, h, w)
            Positional encoding of the image tokens.
        point_embedding : Tensor of shape (B, T, C)
            The output tokens and the prompt's tokens.

        Returns
        -------
        tokens : Tensor of shape (B, T, C)
        image_tokens : Tensor of shape (B, h * w, C)

        Notes
        -----
        While the image tokens are the same for all prompts (until the first layer's last step) they
        are kept once, and their projections are computed once.
        """
        keys, key_pe = in_rows(image_embedding), in_rows(image_pe)  # (B or 1, h * w, C)
        queries = point_embedding
        for layer in self.layers:
            queries, keys = layer(queries, keys, point_embedding, key_pe)
        attended = self.final_attn_token_to_image(queries + point_embedding, keys + key_pe, keys)
        queries = self.norm_final_attn(queries + attended)
        return queries, keys.expand(len(queries), -1, -1)


class TwoWayAttentionBlock(nn.Module):
    """Self-attention of tokens, tokens to image, an MLP on tokens, image to tokens.

    Parameters
    ----------
    embedding_dim, num_heads, mlp_dim, attention_downsample_rate : int
        See `TwoWayTransformer`.
    skip_first_layer_pe : bool
        In the first layer the tokens are their own positional encoding: it is not added, and there
        is no residual around the self-attention.
    """

    def __init__(
        self,
        embedding_dim: int,
        num_heads: int,
        mlp_dim: int,
        attention_downsample_rate: int = 2,
        *,
        skip_first_layer_pe: bool = False,
    ) -> None:
        super().__init__()
        rate = attention_downsample_rate
        self.self_attn = Attention(embedding_dim, num_heads)
        self.norm1 = nn.LayerNorm(embedding_dim)
        self.cross_attn_token_to_image = Attention(embedding_dim, num_heads, rate)
        self.norm2 = nn.LayerNorm(embedding_dim)
        self.mlp = MLPBlock(embedding_dim, mlp_dim, nn.ReLU)
        self.norm3 = nn.LayerNorm(embedding_dim)
        self.norm4 = nn.LayerNorm(embedding_dim)
        self.cross_attn_image_to_token = Attention(embedding_dim, num_heads, rate)
        self.skip_first_layer_pe = skip_first_layer_pe

    def forward(
        self, queries: Tensor, keys: Tensor, query_pe: Tensor, key_pe: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Update tokens and image tokens with each other.

        Parameters
        ----------
        queries : Tensor of shape (B, T, C)
            Tokens.
        keys : Tensor of shape (B or 1, N, C)
            Image tokens, one set for all prompts (1) or one a prompt.
        query_pe : Tensor of shape (B, T, C)
            The tokens as they were before the first layer.
        key_pe : Tensor of shape (1, N, C)
            Positional encoding of the image tokens.

        Returns
        -------
        queries : Tensor of shape (B, T, C)
            Updated tokens.
        keys : Tensor of shape (B, N, C)
            Updated image tokens.
        """
        queries = self.attend_to_tokens(queries, query_pe)
        located_keys = keys + key_pe
        q = queries + query_pe
        queries = self.norm2(queries + self.cross_attn_token_to_image(q, located_keys, keys))
        queries = self.norm3(queries + self.mlp(queries))

        q = queries + query_pe
        keys = self.norm4(keys + self.cross_attn_image_to_token(located_keys, q, queries))
        return queries, keys

    def attend_to_tokens(self, queries: Tensor, query_pe: Tensor) -> Tensor:
        """Update tokens with each other, the first step.

        Parameters
        ----------
        queries, query_pe : Tensor of shape (B, T, C)
            See `forward`.

        Returns
        -------
        Tensor of shape (B, T, C)
        """
        if self.skip_first_layer_pe:
            return self.norm1(self.self_attn(queries, queries, queries))
        q = queries + query_pe
        return self.norm1(queries + self.self_attn(q, q, queries))


class Attention(nn.Module):
    """Multi-head attention that may work in fewer channels than it is given.

    Parameters
    ----------
    embedding_dim : int
        Width of the tokens, C.
    num_heads : int
        Attention heads; must divide the inner width.
    downsample_rate : int
        The inner width is C / rate.

    Raises
    ------
    ValueError
        If the inner width is not a multiple of the number of heads.
    """

    def __init__(self, embedding_dim: int, num_heads: int, downsample_rate: int = 1) -> None:
        super().__init__()
        inner = embedding_dim // downsample_rate
        if inner % num_heads:
            raise ValueError(f"{inner} channels cannot be shared among {num_heads} heads")
        self.num_heads = num_heads
        self.q_proj = Linear(embedding_dim, inner)
        self.k_proj = Linear(embedding_dim, inner)
        self.v_proj = Linear(embedding_dim, inner)
        self.out_proj = Linear(inner, embedding_dim)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend from queries to keys and values.

        Parameters
        ----------
        q : Tensor of shape (B or 1, T, C)
            What the queries are made of.
        k, v : Tensor of shape (B or 1, N, C)
            What the keys and the values are made of.

        Returns
        -------
        Tensor of shape (B, T, C)
        """
        batch, shared = max(len(q), len(k)), len(q) != len(k)
        plain = torch.is_grad_enabled() or torch.compiler.is_exporting() or self.is_wrapped()
        if not (plain or shared):
            # Projecting a few thousand image tokens costs more than all else: a handful of tokens
            # on the other side is taken through the same projection instead.
            if len(q[0]) < self.head_width < len(k[0]):
                return self._few_to_many(q, k, v)
            if len(k[0]) < self.head_width < len(q[0]):
                return self._many_to_few(q, k, v)
        tokens = q.shape[1]
        q, k, v = self.q_proj(q), self.k_proj(k), self.v_proj(v)
        if len(k) < batch:
            # Queries do not see each other: those of all prompts attend to the one image at once.
            q = q.reshape(1, batch * tokens, -1)
        heads = [self._split(x) for x in (q, k, v)]
        if len(heads[0]) < len(heads[1]):
            heads[0] = heads[0].expand(batch, -1, -1, -1)
        out = _attend(*heads)  # (B or 1, heads, T, d)
        out = out.transpose(1, 2).reshape(batch, tokens, -1)  # (B, T, inner)
        return self.out_proj(out)

    def _few_to_many(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend from T to N tokens without projecting the N: (W k) q = k (W^T q)."""
        count = q.shape[1]
        q = self._split(self.q_proj(q)) * self.scale  # (B, heads, T, d)
        q = (q @ self.heads_of(self.k_proj)).flatten(1, 2)  # (B, heads * T, C)
        # The keys' bias adds the same to all weights of a query, which the softmax takes away.
        weights = (q @ k.transpose(1, 2)).softmax(dim=-1)  # (B, heads * T, N)
        found = (weights @ v).unflatten(1, (-1, count))  # (B, heads, T, C)
        out = found @ self.heads_of(self.v_proj).transpose(1, 2)  # (B, heads, T, d)
        out = out.transpose(1, 2).flatten(2) + self.v_proj.bias  # (B, T, inner)
        return self.out_proj(out)

    def _many_to_few(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend from N to T tokens without projecting the N, before or after."""
        count = k.shape[1]
        k = self._split(self.k_proj(k)) * self.scale  # (B, heads, T, d)
        bias = self.q_proj.bias.view(self.num_heads, -1, 1)  # (heads, d, 1)
        offset = (k @ bias).flatten(1, 2)  # (B, heads * T, 1)
        k = (k @ self.heads_of(self.q_proj)).flatten(1, 2)  # (B, heads * T, C)
        scores = torch.baddbmm(offset, k, q.transpose(1, 2))  # (B, heads * T, N)
        weights = scores.unflatten(1, (-1, count)).softmax(dim=2).flatten(1, 2)
        out = self.out_proj.weight.unflatten(1, (self.num_heads, -1)).permute(1, 2, 0)
        values = (self._split(self.v_proj(v)) @ out).flatten(1, 2)  # (B, heads * T, C)
        # Of the weights of a head's tokens, which sum up to 1, each brings its share of the bias.
        values = values + self.out_proj.bias / self.num_heads
        return weights.transpose(1, 2) @ values  # (B, N, C)

    @property
    def head_width(self) -> int:
        """Channels of a head, d."""
        return self.q_proj.out_features // self.num_heads

    @property
    def scale(self) -> float:
        """What products of queries and keys are multiplied by."""
        return self.head_width**-0.5

    def heads_of(self, projection: nn.Linear) -> Tensor:
        """Give the weight of a projection head by head.

        Parameters
        ----------
        projection : nn.Linear
            To the inner width.

        Returns
        -------
        Tensor of shape (heads, d, C)
        """
        return projection.weight.unflatten(0, (self.num_heads, -1))

    def is_wrapped(self) -> bool:
        """Tell whether a projection is not what it was made as: adapted or quantised, for instance.

        Returns
        -------
        bool
        """
        parts = (self.q_proj, self.k_proj, self.v_proj, self.out_proj)
        return any(type(part) is not Linear for part in parts)

    def _split(self, x: Tensor) -> Tensor:
        """Separate the heads: (B, T, inner) to (B, heads, T, d)."""
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


def few(transformer: TwoWayTransformer, tokens: int) -> bool:
    """Tell whether tokens are so few that projecting them is cheaper than projecting the image's.

    Parameters
    ----------
    transformer : TwoWayTransformer
    tokens : int
        Of one prompt, with the output tokens.

    Returns
    -------
    bool
    """
    return tokens < transformer.final_attn_token_to_image.head_width


def is_plain(transformer: TwoWayTransformer) -> bool:
    """Tell whether all attention layers are what they were made as.

    Parameters
    ----------
    transformer : TwoWayTransformer

    Returns
    -------
    bool
        False if a projection was adapted or quantised, for instance.
    """
    attentions = (each for each in transformer.modules() if isinstance(each, Attention))
    return not any(each.is_wrapped() for each in attentions)


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of (B, heads, T, d) to (B, heads, N, d)."""
    if q.requires_grad and q.device.type == "cpu":
        # The fused kernel's backward pass is slow on a CPU with so few channels a head.
        weights = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)  # (B, heads, T, N)
        return weights.softmax(dim=-1).to(v.dtype) @ v
    return functional.scaled_dot_product_attention(q, k, v)
