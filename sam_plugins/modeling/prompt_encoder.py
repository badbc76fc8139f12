"""Prompts as tokens (points, boxes, text) and as maps (masks). Paper, §A ("Prompt encoder")."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sam_plugins.modeling.layers import LayerNorm2d

# Rows of `point_embeddings` in the released weights.
BACKGROUND, FOREGROUND, TOP_LEFT, BOTTOM_RIGHT = range(4)
PADDING = -1


class PromptEncoder(nn.Module):
    """Encode points, boxes, masks and text for the mask decoder.

    Parameters
    ----------
    embed_dim : int
        Width of the tokens, C.
    image_embedding_size : tuple of int
        (h, w) of the image embedding.
    input_image_size : tuple of int
        (H, W) of the frame, in pixels.
    mask_in_chans : int
        Channels in the middle of the mask's convolutions.
    """

    def __init__(
        self,
        embed_dim: int,
        image_embedding_size: tuple[int, int],
        input_image_size: tuple[int, int],
        mask_in_chans: int = 16,
    ) -> None:
        super().__init__()
        self.embed_dim = embed_dim
        self.input_image_size = input_image_size
        self.image_embedding_size = image_embedding_size
        self.mask_input_size = (4 * image_embedding_size[0], 4 * image_embedding_size[1])
        self.pe_layer = PositionEmbeddingRandom(embed_dim // 2)
        self.num_point_embeddings = 4
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, embed_dim) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, embed_dim)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, mask_in_chans // 4, kernel_size=2, stride=2),
            LayerNorm2d(mask_in_chans // 4),
            nn.GELU(),
            nn.Conv2d(mask_in_chans // 4, mask_in_chans, kernel_size=2, stride=2),
            LayerNorm2d(mask_in_chans),
            nn.GELU(),
            nn.Conv2d(mask_in_chans, embed_dim, kernel_size=1),
        )
        self.no_mask_embed = nn.Embedding(1, embed_dim)

    def get_dense_pe(self) -> Tensor:
        """Positional encoding of the image tokens: (1, C, h, w)."""
        return self.pe_layer(self.image_embedding_size)[None]

    def forward(
        self,
        points: tuple[Tensor, Tensor] | None = None,
        boxes: Tensor | None = None,
        masks: Tensor | None = None,
        text: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Encode B prompts of one form.

        Parameters
        ----------
        points : tuple of Tensor, optional
            Coordinates (B, N, 2), x then y, in frame pixels, and labels (B, N): 1 foreground,
            0 background, -1 padding.
        boxes : Tensor of shape (B, 4) or (B, M, 4), optional
            xyxy, in frame pixels; several boxes of one prompt describe one object.
        masks : Tensor of shape (B, 1, 4 h, 4 w), optional
            Logits.
        text : Tensor of shape (B, T, C), optional
            Text tokens.

        Returns
        -------
        sparse : Tensor of shape (B, tokens, C)
        dense : Tensor of shape (B, C, h, w)
            Without masks an expanded view of one vector.
        """
        given = [x for x in (points and points[0], boxes, masks, text) if x is not None]
        batch = len(given[0]) if given else 1
        tokens = []
        if points is not None:
            tokens.append(self._embed_points(*points, pad=boxes is None))
        if boxes is not None:
            tokens.append(self._embed_boxes(boxes))
        if text is not None:
            tokens.append(text.to(self.no_mask_embed.weight.dtype))
        none = self.no_mask_embed.weight.new_empty(batch, 0, self.embed_dim)
        sparse = torch.cat(tokens, dim=1) if tokens else none
        if masks is not None:
            dense = self.mask_downscaling(masks.to(self.no_mask_embed.weight.dtype))
        else:
            vector = self.no_mask_embed.weight.view(1, -1, 1, 1)  # (1, C, 1, 1)
            dense = vector.expand(batch, -1, *self.image_embedding_size)
        return sparse, dense

    def _embed_points(self, coords: Tensor, labels: Tensor, *, pad: bool) -> Tensor:
        """Tokens of points: (B, N, C), one padding token more if there is no box."""
        coords = coords.float() + 0.5  # a pixel's centre
        if pad:
            coords = torch.cat([coords, coords.new_zeros(len(coords), 1, 2)], dim=1)
            labels = torch.cat([labels, labels.new_full((len(labels), 1), PADDING)], dim=1)
        position = self.pe_layer.forward_with_coords(coords, self.input_image_size)  # (B, N, C)
        kind = torch.cat(
            [
                self.point_embeddings[BACKGROUND].weight,
                self.point_embeddings[FOREGROUND].weight,
                self.not_a_point_embed.weight,
            ]
        )  # (3, C)
        padding = labels == PADDING
        index = torch.where(padding, 2, labels).long()
        return position * ~padding[..., None] + kind[index]

    def _embed_boxes(self, boxes: Tensor) -> Tensor:
        """Tokens of boxes, two corners each: (B, 2 M, C)."""
        corners = boxes.float().reshape(len(boxes), -1, 2, 2) + 0.5  # (B, M, 2, xy)
        position = self.pe_layer.forward_with_coords(corners, self.input_image_size)
        kind = torch.cat(
            [self.point_embeddings[TOP_LEFT].weight, self.point_embeddings[BOTTOM_RIGHT].weight]
        )  # (2, C)
        return (position + kind).flatten(1, 2)  # (B, 2 M, C)


class PositionEmbeddingRandom(nn.Module):
    """Positional encoding by random spatial frequencies (Fourier features, arXiv 2006.10739).

    Parameters
    ----------
    num_pos_feats : int
        Number of frequencies; the encoding has twice as many channels.
    scale : float
        Standard deviation of the frequencies, in cycles to half the frame.
    """

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, num_pos_feats: int = 64, scale: float = 1.0) -> None:
        super().__init__()
        self.register_buffer(
            "positional_encoding_gaussian_matrix", scale * torch.randn(2, num_pos_feats)
        )

    def _encode(self, coords: Tensor) -> Tensor:
        """Encode coordinates (..., 2) in 0 .. 1, always in float32: half loses whole pixels."""
        matrix = self.positional_encoding_gaussian_matrix
        with torch.autocast(coords.device.type, enabled=False):
            angles = 2 * math.pi * ((2 * coords.float() - 1) @ matrix.float())  # (..., C / 2)
        return torch.cat([angles.sin(), angles.cos()], dim=-1).to(matrix.dtype)  # (..., C)

    def forward(self, size: tuple[int, int]) -> Tensor:
        """Encode the cell centres of a grid of ``size`` (h, w): (C, h, w)."""
        device = self.positional_encoding_gaussian_matrix.device
        y, x = (
            (torch.arange(side, device=device, dtype=torch.float32) + 0.5) / side for side in size
        )
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)  # (h, w, 2)
        return self._encode(grid).permute(2, 0, 1)  # (C, h, w)

    def forward_with_coords(self, coords: Tensor, image_size: tuple[int, int]) -> Tensor:
        """Encode points (..., 2), x then y, in pixels of a frame of ``image_size`` (H, W)."""
        height, width = image_size
        return self._encode(coords.float() / coords.new_tensor([width, height]).float())
