"""The small model's prompt encoder: every prompt as tokens and as maps."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from sam_plugins.modeling.configs import LiteConfig

# Rows of the embedding of token kinds.
BACKGROUND, FOREGROUND, TOP_LEFT, BOTTOM_RIGHT, PADDING = range(5)

# The label of points that are not there (see `Sam.decode`).
PADDING_LABEL = -1

# Maps have this stride, in frame pixels.
MAP_STRIDE = 4

# A click becomes a soft disc of about this radius, in frame pixels.
CLICK_RADIUS = 5.0

# Positions are encoded in this unit, in frame pixels, whatever the frame's size.
POSITION_UNIT = 512.0


class LitePromptEncoder(nn.Module):
    """Encode points, boxes, masks and text as tokens and as maps.

    Parameters
    ----------
    config : LiteConfig
        Widths.
    """

    frequencies: Tensor

    def __init__(self, config: LiteConfig) -> None:
        super().__init__()
        dim = config.embed_dim
        # A spread of 2 cycles to half the unit resolves about 10 pixels.
        self.register_buffer("frequencies", 2.0 * torch.randn(2, dim // 2))
        self.kinds = nn.Embedding(5, dim)
        # Maps: previous mask, positive clicks, negative clicks, boxes, "there is a box".
        self.maps8 = nn.Conv2d(5, 16, 3, stride=2, padding=1)
        self.no_mask = nn.Parameter(torch.zeros(1, 16, 1, 1))

    def encode_positions(self, coords: Tensor) -> Tensor:
        """Encode points by the sines and cosines of random frequencies.

        Parameters
        ----------
        coords : Tensor of shape (..., 2)
            x then y, in frame pixels.

        Returns
        -------
        Tensor of shape (..., C), float32
            Always in float32: half precision would lose whole pixels.
        """
        with torch.autocast(coords.device.type, enabled=False):
            scaled = 2 * coords.float() / POSITION_UNIT - 1
            angles = 2 * math.pi * (scaled @ self.frequencies.float())  # (..., C / 2)
            return torch.cat([angles.sin(), angles.cos()], dim=-1)  # (..., C)

    def grid_encoding(self, size: tuple[int, int], origin: Tensor | None = None) -> Tensor:
        """Encode the centres of the image embedding's cells.

        Parameters
        ----------
        size : tuple of int
            (h, w) of the image embedding, at stride 16.
        origin : Tensor of shape (I, 2), optional
            See `LiteSam.decode_all`.

        Returns
        -------
        Tensor of shape (I, C, h, w), float32
            I is 1 if there is no origin.
        """
        device = self.frequencies.device
        y, x = (torch.arange(side, device=device, dtype=torch.float32) + 0.5 for side in size)
        grid = 16 * torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None]  # (1, h, w, 2)
        if origin is not None:
            grid = grid + origin[:, None, None]
        return self.encode_positions(grid).permute(0, 3, 1, 2)

    def forward(
        self,
        *,
        points: Tensor | None,
        labels: Tensor | None,
        boxes: Tensor | None,
        mask_logits: Tensor | None,
        text_tokens: Tensor | None,
        batch: int,
        size: tuple[int, int],
        origin: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Encode B prompts of one form.

        Parameters
        ----------
        points, labels, boxes, mask_logits, text_tokens : Tensor, optional
            See `Sam.decode`.
        batch : int
            B.
        size : tuple of int
            (h, w) of the maps, at stride 4.
        origin : Tensor of shape (I, 2), optional
            See `LiteSam.decode_all`.

        Returns
        -------
        tokens : Tensor of shape (B, T, C)
        maps : Tensor of shape (B, 16, h / 2, w / 2)
            At stride 8.
        """
        device = self.frequencies.device
        coords = [torch.zeros(batch, 0, 2, device=device)]
        kinds = [torch.zeros(batch, 0, dtype=torch.long, device=device)]
        if points is not None and labels is not None:
            coords.append(points.float() + 0.5)  # a pixel's centre
            kinds.append(torch.where(labels < 0, PADDING, labels).long())
        if boxes is not None:
            coords.append(boxes.float().reshape(batch, -1, 2))  # (B, 2 M, 2)
            corner = torch.tensor([TOP_LEFT, BOTTOM_RIGHT], device=device)
            kinds.append(corner.repeat(batch, boxes.shape[1]))
        # As many padding tokens as in training: two without a box, one with a box.
        padding = 2 if boxes is None else 1
        coords.append(torch.zeros(batch, padding, 2, device=device))
        kinds.append(torch.full((batch, padding), PADDING, device=device))
        tokens = self._tokens(torch.cat(coords, 1), torch.cat(kinds, 1), origin)
        if text_tokens is not None:
            tokens = torch.cat([tokens, text_tokens.to(tokens.dtype)], dim=1)
        maps = self._maps(torch.cat(coords, 1), torch.cat(kinds, 1), mask_logits, size)
        encoded = self.maps8(maps)  # (B, 16, h / 2, w / 2)
        if mask_logits is None:
            encoded = encoded + self.no_mask
        return tokens, functional.gelu(encoded)

    def _tokens(self, coords: Tensor, kinds: Tensor, origin: Tensor | None) -> Tensor:
        """One token a click, corner and padding: (B, T, C)."""
        if origin is not None:
            if len(origin) < len(coords):
                origin = origin.repeat_interleave(len(coords) // len(origin), dim=0)
            coords = coords + origin[:, None]
        located = (kinds != PADDING)[..., None]
        return self.encode_positions(coords) * located + self.kinds(kinds)

    def _maps(
        self, coords: Tensor, kinds: Tensor, mask_logits: Tensor | None, size: tuple[int, int]
    ) -> Tensor:
        """Draw clicks, boxes and the previous mask at stride 4: (B, 5, h, w)."""
        height, width = size
        device = coords.device
        y = (torch.arange(height, device=device) + 0.5) * MAP_STRIDE
        x = (torch.arange(width, device=device) + 0.5) * MAP_STRIDE
        # A disc and a box are products of a function of x and a function of y.
        near_x = torch.exp(-(((x - coords[..., :1]) / CLICK_RADIUS) ** 2))  # (B, T, w)
        near_y = torch.exp(-(((y - coords[..., 1:]) / CLICK_RADIUS) ** 2))  # (B, T, h)
        discs = [
            (near_y * (kinds == kind)[..., None]).transpose(1, 2) @ near_x  # (B, h, w)
            for kind in (FOREGROUND, BACKGROUND)
        ]
        low, high = (kinds == TOP_LEFT)[..., None], (kinds == BOTTOM_RIGHT)[..., None]
        inside = coords.new_zeros(len(coords), height, width)
        if low.any():
            count = int(low[0].sum())
            starts = coords[low.expand_as(coords)].view(-1, count, 2)  # (B, M, 2)
            ends = coords[high.expand_as(coords)].view(-1, count, 2)
            span_x = _soft_step(x - starts[..., :1]) * _soft_step(ends[..., :1] - x)  # (B, M, w)
            span_y = _soft_step(y - starts[..., 1:]) * _soft_step(ends[..., 1:] - y)  # (B, M, h)
            inside = (span_y[..., :, None] * span_x[..., None, :]).amax(dim=1)  # (B, h, w)
        boxed = low.any(dim=1)[..., None].to(coords.dtype).expand_as(inside)
        if mask_logits is None:
            previous = torch.zeros_like(inside)
        else:
            previous = functional.avg_pool2d(mask_logits.float().sigmoid(), 2)[:, 0]
        return torch.stack([previous, *(disc.clamp(max=1) for disc in discs), inside, boxed], dim=1)


def _soft_step(distance: Tensor) -> Tensor:
    """From 0 to 1 over about four frame pixels around 0."""
    return (distance / 2).sigmoid()
