"""The paper's text prompt (§D.5): a CLIP vector becomes one sparse prompt token."""

from __future__ import annotations

from torch import Tensor, nn


class TextProjection(nn.Module):
    """A learned linear projection; the paper does not tell its form, a linear one is presumed.

    Parameters
    ----------
    width : int
        Length of the encoder's vectors.
    token_width : int
        Width of the prompt tokens.
    """

    def __init__(self, width: int, token_width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, token_width)

    def forward(self, vectors: Tensor) -> Tensor:
        """Project vectors.

        Parameters
        ----------
        vectors : Tensor of shape (B, D)
            L2-normalised, of texts or of images.

        Returns
        -------
        Tensor of shape (B, 1, C)
            One token a prompt.
        """
        return self.linear(vectors)[:, None]
