"""The masked autoencoder's transformer: a plain ViT's, without windows and relative positions."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from sam_plugins.modeling.image_encoder import LAYER_NORM_EPS


class PatchEmbed(nn.Module):
    """Project patches to tokens.

    Parameters
    ----------
    patch_size : int
        Pixels along each axis.
    embed_dim : int
        Width of the tokens.
    """

    def __init__(self, patch_size: int, embed_dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, embed_dim, kernel_size=patch_size, stride=patch_size)

    def forward(self, images: Tensor) -> Tensor:
        """Project all patches.

        Parameters
        ----------
        images : Tensor of shape (B, 3, S, S)

        Returns
        -------
        Tensor of shape (B, L, embed_dim)
            Row by row.
        """
        return self.proj(images).flatten(2).transpose(1, 2)  # (B, L, D)


class Block(nn.Module):
    """A transformer block: attention and MLP, each behind a norm and added to its input.

    Parameters
    ----------
    dim : int
        Width of the tokens.
    num_heads : int
        Attention heads.
    mlp_ratio : float
        Hidden width of the MLP, in multiples of ``dim``.
    """

    def __init__(self, dim: int, num_heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)
        self.attn = Attention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))

    def forward(self, tokens: Tensor) -> Tensor:
        """Run the block.

        Parameters
        ----------
        tokens : Tensor of shape (B, N, dim)

        Returns
        -------
        Tensor of shape (B, N, dim)
        """
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class Attention(nn.Module):
    """Attention of all tokens to all, without relative positions.

    Parameters
    ----------
    dim : int
        Width of the tokens.
    num_heads : int
        Attention heads.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Let the tokens attend to each other.

        Parameters
        ----------
        tokens : Tensor of shape (B, N, dim)

        Returns
        -------
        Tensor of shape (B, N, dim)
        """
        qkv = self.qkv(tokens).unflatten(-1, (3, self.num_heads, -1))  # (B, N, 3, heads, d)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, N, d)
        seen = functional.scaled_dot_product_attention(q, k, v)  # (B, heads, N, d)
        return self.proj(seen.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """The two linear layers of a block, with the released files' names.

    Parameters
    ----------
    dim : int
        Width of the tokens.
    hidden : int
        Width between the layers.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Run both layers.

        Parameters
        ----------
        tokens : Tensor of shape (..., dim)

        Returns
        -------
        Tensor of shape (..., dim)
        """
        return self.fc2(functional.gelu(self.fc1(tokens)))
