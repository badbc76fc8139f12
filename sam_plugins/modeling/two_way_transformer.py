"""The mask decoder's transformer: tokens attend to the image, and the image to the tokens.

Paper, §A ("Lightweight mask decoder"). Positional encodings are added to queries and keys at each
attention, so that the layers always know where things are.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

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
        keys = image_embedding.flatten(2).transpose(1, 2)  # (B or 1, h * w, C)
        key_pe = image_pe.flatten(2).transpose(1, 2)  # (1, h * w, C)
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
        """Update tokens (B, T, C) and image tokens (B or 1, N, C)."""
        if self.skip_first_layer_pe:
            queries = self.self_attn(queries, queries, queries)
        else:
            q = queries + query_pe
            queries = queries + self.self_attn(q, q, queries)
        queries = self.norm1(queries)

        located_keys = keys + key_pe
        q = queries + query_pe
        queries = self.norm2(queries + self.cross_attn_token_to_image(q, located_keys, keys))
        queries = self.norm3(queries + self.mlp(queries))

        q = queries + query_pe
        keys = self.norm4(keys + self.cross_attn_image_to_token(located_keys, q, queries))
        return queries, keys


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
        self.q_proj = nn.Linear(embedding_dim, inner)
        self.k_proj = nn.Linear(embedding_dim, inner)
        self.v_proj = nn.Linear(embedding_dim, inner)
        self.out_proj = nn.Linear(inner, embedding_dim)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend from q (B or 1, T, C) to k and v (B or 1, N, C); gives (B, T, C)."""
        batch, tokens = max(len(q), len(k)), q.shape[1]
        shared_keys = len(k) == 1 and len(q) > 1
        q, k, v = self.q_proj(q), self.k_proj(k), self.v_proj(v)
        if shared_keys:
            # Queries do not see each other: those of all prompts attend to the one image at once.
            q = q.reshape(1, batch * tokens, -1)
        heads = [self._split(x) for x in (q, k, v)]
        if len(heads[0]) != len(heads[1]):
            heads[0] = heads[0].expand(batch, -1, -1, -1)
        out = _attend(*heads)  # (B or 1, heads, T, d)
        out = out.transpose(1, 2).reshape(batch, tokens, -1)  # (B, T, inner)
        return self.out_proj(out)

    def _split(self, x: Tensor) -> Tensor:
        """Separate the heads: (B, T, inner) to (B, heads, T, d)."""
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of (B, heads, T, d) to (B, heads, N, d)."""
    if q.requires_grad and q.device.type == "cpu":
        # The fused kernel's backward pass is slow on a CPU with so few channels a head.
        weights = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)  # (B, heads, T, N)
        return weights.softmax(dim=-1).to(v.dtype) @ v
    return functional.scaled_dot_product_attention(q, k, v)
