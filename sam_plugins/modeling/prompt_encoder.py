"""Prompts as tokens (points, boxes, text) and as maps (masks). Paper, §A ("Prompt encoder")."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from sam_plugins.modeling.cpu import runs_eagerly_on_cpu
from sam_plugins.modeling.layers import Float32Buffers, LayerNorm2d

# Labels of points, and rows of `point_embeddings` in the released weights. Corners of boxes are
# points with the labels 2 and 3, which the released ONNX model uses and is allowed here, too.
BACKGROUND, FOREGROUND, TOP_LEFT, BOTTOM_RIGHT = range(4)
PADDING = -1

Grid = tuple[int, int]


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
        image_embedding_size: Grid,
        input_image_size: Grid,
        mask_in_chans: int = 16,
    ) -> None:
        super().__init__()
        self.embed_dim = embed_dim
        self.input_image_size = input_image_size
        self.image_embedding_size = image_embedding_size
        self.mask_input_size = (4 * image_embedding_size[0], 4 * image_embedding_size[1])
        self.pe_layer = PositionEmbeddingRandom(embed_dim // 2)
        self._dense_pe: tuple[Tensor, Tensor] | None = None
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

    def get_dense_pe(self, grid: Grid | None = None) -> Tensor:
        """Give the positional encoding of the image tokens.

        Parameters
        ----------
        grid : tuple of int, optional
            (h, w) of an image embedding of another frame; `image_embedding_size` if omitted.

        Returns
        -------
        Tensor of shape (1, C, h, w), float32

        Notes
        -----
        It is the same for every prompt, and a good part of a millisecond of a click: on a CPU it is
        kept until the frequencies or the grid are others.
        """
        grid = grid or self.image_embedding_size
        frequencies = self.pe_layer.positional_encoding_gaussian_matrix
        if not runs_eagerly_on_cpu(frequencies):
            return self.pe_layer(grid)[None]
        kept = self._dense_pe
        if kept is None or kept[1].shape[-2:] != grid or not torch.equal(kept[0], frequencies):
            # Made in inference mode it could not take part in a later training step.
            with torch.inference_mode(False), torch.no_grad():
                kept = frequencies.clone(), self.pe_layer(grid)[None]
            self._dense_pe = kept
        return kept[1]

    def forward(
        self,
        points: tuple[Tensor, Tensor] | None = None,
        boxes: Tensor | None = None,
        masks: Tensor | None = None,
        text: Tensor | None = None,
        *,
        grid: Grid | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Encode B prompts of one form; without any, one empty prompt.

        Parameters
        ----------
        points : tuple of Tensor, optional
            Coordinates (B, N, 2), x then y, in frame pixels, and labels (B, N): 1 foreground,
            0 background, -1 padding; 2 and 3 the first and second corner of a box. Unless boxes are
            given, one padding point is appended.
        boxes : Tensor of shape (B, 4) or (B, M, 4), optional
            xyxy, in frame pixels; several boxes of one prompt describe one object.
        masks : Tensor of shape (B, 1, 4 h, 4 w), optional
            Logits.
        text : Tensor of shape (B, T, C), optional
            Text tokens.
        grid : tuple of int, optional
            (h, w) of an image embedding of another frame; `image_embedding_size` if omitted.

        Returns
        -------
        sparse : Tensor of shape (B, tokens, C)
            Of points, padding, corners of boxes (two a box), text, in this order.
        dense : Tensor of shape (B, C, h, w)
            Without masks an expanded view of one vector.
        """
        given = [x for x in (points and points[0], boxes, masks, text) if x is not None]
        batch = len(given[0]) if given else 1
        grid = grid or self.image_embedding_size
        frame = self._frame_of(grid)
        nothing = self.no_mask_embed.weight.new_empty(batch, 0, self.embed_dim)
        tokens = [nothing]
        if points is not None:
            tokens.append(self._embed_points(*points, frame, pad=boxes is None))
        if boxes is not None:
            tokens.append(self._embed_boxes(boxes, frame))
        if text is not None:
            tokens.append(text.to(nothing.dtype))
        if masks is not None:
            dense = self.mask_downscaling(masks.to(nothing.dtype))  # (B, C, h, w)
        else:
            vector = self.no_mask_embed.weight.view(1, -1, 1, 1)  # (1, C, 1, 1)
            dense = vector.expand(batch, -1, *grid)
        return torch.cat(tokens, dim=1), dense

    def _frame_of(self, grid: Grid) -> Grid:
        """(H, W) of the frame whose image embedding has this grid, in pixels."""
        rows, columns = self.image_embedding_size
        height, width = self.input_image_size
        return grid[0] * height // rows, grid[1] * width // columns

    def _kinds(self) -> Tensor:
        """What is added to a position: one row for each label, the last for padding: (5, C)."""
        rows = [*self.point_embeddings, self.not_a_point_embed]
        return torch.cat([cast(nn.Embedding, row).weight for row in rows])

    def _embed_points(self, coords: Tensor, labels: Tensor, frame: Grid, *, pad: bool) -> Tensor:
        """Tokens of points: (B, N, C), one padding token more if there is no box."""
        coords = coords.float() + 0.5  # a pixel's centre
        if pad:
            coords = torch.cat([coords, coords.new_zeros(len(coords), 1, 2)], dim=1)
            labels = torch.cat([labels, labels.new_full((len(labels), 1), PADDING)], dim=1)
        kinds = self._kinds()
        position = self.pe_layer.forward_with_coords(coords, frame).to(kinds.dtype)  # (B, N, C)
        padding = (labels == PADDING)[..., None]  # (B, N, 1)
        # Label -1 takes the last row.
        return position.masked_fill(padding, 0) + kinds[labels.long()]

    def _embed_boxes(self, boxes: Tensor, frame: Grid) -> Tensor:
        """Tokens of boxes, two corners each: (B, 2 M, C)."""
        corners = boxes.float().reshape(len(boxes), -1, 2, 2) + 0.5  # (B, M, 2, xy)
        kinds = self._kinds()[TOP_LEFT : BOTTOM_RIGHT + 1]  # (2, C)
        position = self.pe_layer.forward_with_coords(corners, frame).to(kinds.dtype)
        return (position + kinds).flatten(1, 2)  # (B, 2 M, C)


class PositionEmbeddingRandom(Float32Buffers):
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
        with torch.autocast(coords.device.type, enabled=False):
            cycles = (2 * coords.float() - 1) @ self.positional_encoding_gaussian_matrix.float()
        angles = 2 * math.pi * cycles  # (..., C / 2)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)  # (..., C)

    def forward(self, size: Grid) -> Tensor:
        """Encode the cell centres of a grid.

        Parameters
        ----------
        size : tuple of int
            (h, w), in cells; the grid covers the frame.

        Returns
        -------
        Tensor of shape (C, h, w), float32
        """
        device = self.positional_encoding_gaussian_matrix.device
        y, x = (
            (torch.arange(side, device=device, dtype=torch.float32) + 0.5) / side for side in size
        )
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)  # (h, w, 2)
        return self._encode(grid).permute(2, 0, 1)  # (C, h, w)

    def forward_with_coords(self, coords: Tensor, image_size: Grid) -> Tensor:
        """Encode points.

        Parameters
        ----------
        coords : Tensor of shape (..., 2)
            x then y, in frame pixels.
        image_size : tuple of int
            (H, W) of the frame, in pixels.

        Returns
        -------
        Tensor of shape (..., C), float32
        """
        height, width = image_size
        x, y = coords.float().unbind(-1)
        # By numbers: a tensor of both would have to come from the host at each call.
        return self._encode(torch.stack([x / width, y / height], dim=-1))
