"""The small model's mask decoder: two-way transformer, upsampling with the encoder's fine maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from sam_plugins.modeling.configs import LiteConfig
from sam_plugins.modeling.cpu import above, runs_eagerly_on_cpu
from sam_plugins.modeling.layers import MLP
from sam_plugins.modeling.lite_windows import Maps
from sam_plugins.modeling.two_way_transformer import TwoWayTransformer

NUM_MASKS = 4

# Masks begin mostly empty, as most of an image is background: training leaves the phase in which
# all masks are empty earlier.
MASK_BIAS = -2.5


class LiteMaskDecoder(nn.Module):
    """Predict four masks at stride 2 and their IoU.

    Parameters
    ----------
    config : LiteConfig
        Widths and depths.
    """

    def __init__(self, config: LiteConfig) -> None:
        super().__init__()
        dim = config.embed_dim
        f8, f4, f2 = config.fine_channels
        self.maps8 = nn.Conv2d(16, f8, 3, padding=1)
        self.maps16 = nn.Conv2d(16, dim, 3, stride=2, padding=1)
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(NUM_MASKS, dim)
        self.transformer = TwoWayTransformer(
            config.decoder_depth, dim, config.decoder_heads, config.decoder_mlp_dim
        )
        self.up8 = nn.ConvTranspose2d(dim, f8, 2, stride=2)
        self.mix8 = nn.Conv2d(f8, f8, 3, padding=1)
        self.up4 = nn.ConvTranspose2d(f8, f4, 2, stride=2)
        self.mix4 = nn.Conv2d(f4, f4, 3, padding=1)
        self.up2 = nn.ConvTranspose2d(f4, f2, 2, stride=2)
        self.output_hypernetworks_mlps = nn.ModuleList(
            MLP(dim, dim, f2, 3) for _ in range(NUM_MASKS)
        )
        self.mask_bias = nn.Parameter(torch.full((1, NUM_MASKS, 1, 1), MASK_BIAS))
        self.iou_prediction_head = MLP(dim, dim, NUM_MASKS, 3)
        self.iou_from_mask = MLP(dim + 3, 64, 1, 2)

    def forward(
        self,
        features: tuple[Maps, ...],
        image_pe: Tensor,
        prompt_tokens: Tensor,
        prompt_maps: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Predict for K prompts about each of I images, B = I * K.

        Parameters
        ----------
        features : tuple of Tensor or of list of Tensor
            Maps of I images at the strides 16, 8, 4 and 2.
        image_pe : Tensor of shape (I or 1, C, h, w)
            Positional encoding of the image embedding.
        prompt_tokens : Tensor of shape (B, T, C)
        prompt_maps : Tensor of shape (B, 16, 2 h, 2 w)

        Returns
        -------
        logits : Tensor of shape (B, 4, 8 h, 8 w)
        iou : Tensor of shape (B, 4)
            Logits of the predicted IoU.
        """
        p16, *fine = features
        (rows, columns), dtype, device = p16[0].shape[-2:], p16[0].dtype, p16[0].device.type
        prompts16 = self.maps16(prompt_maps)
        # Hundreds of small steps: casting all of them would cost more than it saves.
        with torch.autocast(device, enabled=dtype != torch.float32):
            image = _with_image(prompts16.to(dtype), p16)
            queries, keys = self._attend(image, image_pe, prompt_tokens)
            mask_tokens = queries[:, 1 : 1 + NUM_MASKS]  # (B, 4, C)
            heads = zip(self.output_hypernetworks_mlps, mask_tokens.unbind(1), strict=True)
            weights = torch.stack([mlp(token) for mlp, token in heads], dim=1)  # (B, 4, f2)
        x = keys.transpose(1, 2).unflatten(2, (rows, columns))  # (B, C, h, w)
        x = self._upscale(x, prompt_maps, fine)  # (B, f2, 8 h, 8 w)
        pixels = x.permute(0, 2, 3, 1).flatten(1, 2)  # (B, 64 h * w, f2)
        masks = (weights.to(x.dtype) / 4) @ pixels.transpose(1, 2)  # (B, 4, 64 h * w)
        logits = masks.to(queries.dtype).unflatten(2, x.shape[-2:]) + self.mask_bias
        with torch.autocast(device, enabled=dtype != torch.float32):
            return logits, self._predict_iou(queries[:, 0], mask_tokens, logits)

    def _attend(
        self, image: Tensor, image_pe: Tensor, prompt_tokens: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Let tokens and image tokens see each other: (B, 5 + T, C) and (B, h * w, C)."""
        batch = len(prompt_tokens)
        output = torch.cat([self.iou_token.weight, self.mask_tokens.weight])  # (5, C)
        tokens = torch.cat([output.expand(batch, -1, -1), prompt_tokens], dim=1)
        if 1 < len(image_pe) < batch:
            image_pe = image_pe.repeat_interleave(batch // len(image_pe), dim=0)
        return self.transformer(image, image_pe.to(image.dtype), tokens.to(image.dtype))

    def _upscale(self, x: Tensor, prompt_maps: Tensor, fine: Sequence[Maps]) -> Tensor:
        """Bring the image tokens (B, C, h, w) to stride 2: (B, f2, 8 h, 8 w)."""
        p8, p4, p2 = fine
        x = x.contiguous(memory_format=torch.channels_last)
        x = _gelu(_with_image(_plus(self.up8(x), self.maps8(prompt_maps)), p8))
        x = _plus(_gelu(self.mix8(x)), x)  # (B, f8, 2 h, 2 w)
        x = _gelu(_with_image(self.up4(x), p4))
        x = _plus(functional.relu(self.mix4(x)), x)  # (B, f4, 4 h, 4 w)
        return functional.relu(_with_image(self.up2(x), p2))

    def _predict_iou(self, iou_token: Tensor, mask_tokens: Tensor, logits: Tensor) -> Tensor:
        """Predict the IoU from the tokens and from the masks as they came out: (B, 4)."""
        with torch.no_grad():
            # Side by side: a CPU makes no vectors of numbers that lie apart.
            sampled = logits[..., ::2, ::2].float().contiguous()  # (B, 4, 4 h, 4 w)
            inside = above(sampled, 0)
            area = inside.sum((2, 3))
            confidence = (sampled.sigmoid() * inside).sum((2, 3)) / (area + 1)
            sure = above(sampled, 1).sum((2, 3))
            stability = (sure + 0.5) / (above(sampled, -1).sum((2, 3)) + 1)
            statistics = torch.stack(
                [4 * confidence - 3, 4 * stability - 3, (area + 1).log() / 4 - 1], dim=-1
            )  # (B, 4, 3)
        known = torch.cat([mask_tokens.detach(), statistics.to(mask_tokens.dtype)], dim=-1)
        return self.iou_prediction_head(iou_token) + self.iou_from_mask(known)[..., 0]


def _gelu(x: Tensor) -> Tensor:
    """GELU of maps that are not needed any more, as `_plus` adds."""
    return torch.ops.aten.gelu_(x) if runs_eagerly_on_cpu(x) else functional.gelu(x)


def _plus(x: Tensor, y: Tensor) -> Tensor:
    """Add to maps that are not needed any more: on a CPU their memory is used again."""
    return x.add_(y) if runs_eagerly_on_cpu(x) else x + y


def _with_image(prompts: Tensor, images: Maps) -> Tensor:
    """Add each image's map to those of its prompts (I * K, C, h, w), as `_plus` does."""
    if isinstance(images, list):
        if runs_eagerly_on_cpu(prompts) and len(images) == len(prompts):
            for each, image in zip(prompts.split(1), images, strict=True):
                each.add_(image)
            return prompts
        images = torch.cat(images)
    images = images.to(prompts.dtype)
    if len(prompts) == len(images):
        return _plus(prompts, images)
    grouped = prompts.unflatten(0, (len(images), -1))  # (I, K, C, h, w)
    return _plus(grouped, images[:, None]).flatten(0, 1)
