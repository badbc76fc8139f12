"""The mask decoder: from the image embedding and a prompt's tokens to masks and their quality.

Paper, §A ("Lightweight mask decoder", "Making the model ambiguity-aware").
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from sam_plugins.modeling.cpu import linear, runs_eagerly_on_cpu
from sam_plugins.modeling.image_side import ImageSide, few
from sam_plugins.modeling.kernels import upscaling as compiled
from sam_plugins.modeling.kernels.activations import own_gelu
from sam_plugins.modeling.kernels.bfloat16 import upscaling as compiled_bfloat16
from sam_plugins.modeling.layers import MLP, LayerNorm2d
from sam_plugins.modeling.two_way_transformer import TwoWayTransformer


class MaskDecoder(nn.Module):
    """Predict masks by a dynamic head: a small network makes each mask's linear classifier.

    Parameters
    ----------
    transformer_dim : int
        Width of the tokens, C.
    transformer : TwoWayTransformer
        The transformer.
    num_multimask_outputs : int
        Candidate masks of an ambiguous prompt.
    iou_head_depth, iou_head_hidden_dim : int
        Layers and hidden width of the head that predicts each mask's IoU.
    """

    def __init__(
        self,
        *,
        transformer_dim: int,
        transformer: TwoWayTransformer,
        num_multimask_outputs: int = 3,
        iou_head_depth: int = 3,
        iou_head_hidden_dim: int = 256,
    ) -> None:
        super().__init__()
        self.transformer_dim = transformer_dim
        self.transformer = transformer
        # Of the image that was asked about last.
        self._kept_side: ImageSide | None = None
        self.num_multimask_outputs = num_multimask_outputs
        # Mask 0 answers unambiguous prompts, the others are the candidates of ambiguous ones.
        self.num_mask_tokens = num_multimask_outputs + 1
        self.iou_token = nn.Embedding(1, transformer_dim)
        self.mask_tokens = nn.Embedding(self.num_mask_tokens, transformer_dim)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(transformer_dim, transformer_dim // 4, kernel_size=2, stride=2),
            LayerNorm2d(transformer_dim // 4),
            nn.GELU(),
            nn.ConvTranspose2d(transformer_dim // 4, transformer_dim // 8, kernel_size=2, stride=2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(
            MLP(transformer_dim, transformer_dim, transformer_dim // 8, 3)
            for _ in range(self.num_mask_tokens)
        )
        self.iou_prediction_head = MLP(
            transformer_dim, iou_head_hidden_dim, self.num_mask_tokens, iou_head_depth
        )

    def forward(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
        multimask_output: bool,
        upscaling: torch.dtype | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Predict the masks of B prompts.

        Parameters
        ----------
        image_embeddings : Tensor of shape (1 or B, C, h, w)
            The image embedding, of all prompts or of each.
        image_pe : Tensor of shape (1, C, h, w)
            Its positional encoding.
        sparse_prompt_embeddings : Tensor of shape (B, T, C)
            Tokens of points, boxes and text.
        dense_prompt_embeddings : Tensor of shape (B, C, h, w)
            Encoded masks, or the expanded "no mask" vector.
        multimask_output : bool
            Three candidates (True) or the single mask (False).
        upscaling : torch.dtype, optional
            What the masks are upscaled in; the weights' own if omitted.

        Returns
        -------
        masks : Tensor of shape (B, K, 4 h, 4 w)
            Logits.
        iou : Tensor of shape (B, K)
            Predicted IoU; may exceed 1.
        """
        return self.predict_masks(
            image_embeddings,
            image_pe,
            sparse_prompt_embeddings,
            dense_prompt_embeddings,
            tokens=slice(1, None) if multimask_output else slice(0, 1),
            upscaling=upscaling,
        )

    def predict_masks(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
        tokens: slice = slice(None),
        upscaling: torch.dtype | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Predict the masks of the chosen mask tokens; by default of all four.

        Parameters
        ----------
        image_embeddings : Tensor of shape (1 or B, C, h, w)
            The image embedding, of all prompts or of each.
        image_pe : Tensor of shape (1, C, h, w)
            Its positional encoding.
        sparse_prompt_embeddings : Tensor of shape (B, T, C)
            Tokens of points, boxes and text.
        dense_prompt_embeddings : Tensor of shape (B, C, h, w)
            Encoded masks, or the expanded "no mask" vector.
        tokens : slice
            Which of the mask tokens: 0 answers unambiguous prompts, the others are candidates.
        upscaling : torch.dtype, optional
            What the masks are upscaled in; the weights' own if omitted.

        Returns
        -------
        masks : Tensor of shape (B, K, 4 h, 4 w)
            Logits.
        iou : Tensor of shape (B, K)
            Predicted IoU; may exceed 1.
        """
        dtype = self.iou_token.weight.dtype
        images, image_pe, sparse, dense = (
            x.to(dtype)
            for x in (
                image_embeddings,
                image_pe,
                sparse_prompt_embeddings,
                _without_copies(dense_prompt_embeddings),
            )
        )
        batch = len(sparse)
        side = self._image_side(images, image_pe, dense, sparse)
        # A prompt's image tokens and fine maps fill a CPU's caches: one prompt after the other.
        at_once = 1 if runs_eagerly_on_cpu(images) else batch
        parts = [slice(start, start + at_once) for start in range(0, batch, at_once)]
        answers = [
            self._predict(
                side or (_part(images, part) + _part(dense, part), image_pe),
                sparse[part],
                tokens,
                upscaling or dtype,
            )
            for part in parts
        ]
        masks, iou = zip(*answers, strict=True)
        return torch.cat(masks), torch.cat(iou)

    def _image_side(
        self, images: Tensor, image_pe: Tensor, dense: Tensor, sparse: Tensor
    ) -> ImageSide | None:
        """What is computed once for all prompts without a mask about one image, on a CPU."""
        tokens = 1 + self.num_mask_tokens + sparse.shape[1]
        shared = runs_eagerly_on_cpu(images) and len(images) == len(dense) == 1
        constant = dense.stride()[-2:] == (0, 0)  # as without a mask
        if not (shared and constant and images.dtype == torch.float32):
            return None
        if not few(self.transformer, tokens):
            return None
        parts, side = (self.transformer, images, dense[..., :1, :1], image_pe), self._kept_side
        if side is None or not side.fits(*parts):
            self._kept_side = side = ImageSide.of(*parts)
        return side

    def _predict(
        self,
        image: ImageSide | tuple[Tensor, Tensor],
        sparse: Tensor,
        tokens: slice,
        upscaling: torch.dtype,
    ) -> tuple[Tensor, Tensor]:
        """Predict from tokens (B, T, C) and images (B or 1, C, h, w), with the dense prompts.

        Beside the images stands their positional encoding; of one image, all of it may be kept.
        """
        output_tokens = torch.cat([self.iou_token.weight, self.mask_tokens.weight])  # (5, C)
        output_tokens = output_tokens.expand(len(sparse), -1, -1)
        queries = torch.cat([output_tokens, sparse], dim=1)  # (B, 5 + T, C)
        if isinstance(image, ImageSide):
            grid = image.grid
            queries, keys = image.run(queries)
        else:
            grid = (image[0].shape[-2], image[0].shape[-1])
            queries, keys = self.transformer(*image, queries)
        iou_token, mask_tokens = queries[:, 0], queries[:, 1 : 1 + self.num_mask_tokens]
        chosen = range(self.num_mask_tokens)[tokens]
        weights = torch.stack(
            [self.output_hypernetworks_mlps[i](mask_tokens[:, i]) for i in chosen], dim=1
        )  # (B, K, C / 8)
        iou = self.iou_prediction_head(iou_token)[:, tokens]  # (B, K)
        kernels = compiled if upscaling == keys.dtype else compiled_bfloat16
        if upscaling in (keys.dtype, torch.bfloat16) and kernels.suits(keys, weights):
            layers = cast(_Upscaling, tuple(self.output_upscaling))
            return kernels.upscale(keys, grid, layers, weights), iou
        masks = _per_mask(self._upscale(keys.to(upscaling)), weights.to(upscaling))
        return _in_place(masks.to(weights.dtype), grid), iou

    def _upscale(self, keys: Tensor) -> Tensor:
        """N image tokens (B, N, C) to 16 finer ones each, in their precision: (B, 16 N, C / 8).

        A transposed convolution whose kernel is as large as its stride is a linear layer from each
        token to 2 x 2 finer ones. They are kept side by side, and put in their places only when
        they have become the few channels of the masks.
        """
        first, norm, _, second, _ = cast(_Upscaling, tuple(self.output_upscaling))
        x = _upscale_tokens(first, keys)  # (B, 4 N, C / 4)
        scale, bias = norm.weight.to(x.dtype), norm.bias.to(x.dtype)
        x = functional.layer_norm(x, scale.shape, scale, bias, norm.eps)
        return own_gelu(_upscale_tokens(second, own_gelu(x)))


_Upscaling = tuple[nn.ConvTranspose2d, LayerNorm2d, nn.Module, nn.ConvTranspose2d, nn.Module]


def _upscale_tokens(layer: nn.ConvTranspose2d, tokens: Tensor) -> Tensor:
    """Apply a 2 x 2 transposed convolution to (B, N, in): (B, 4 N, out), 2 x 2 by 2 x 2."""
    weight = layer.weight.permute(2, 3, 1, 0).flatten(0, 2)  # (2 * 2 * out, in)
    bias = cast(Tensor, layer.bias).repeat(4)
    finer = linear(tokens, weight.to(tokens.dtype), bias.to(tokens.dtype))  # (B, N, 2 * 2 * out)
    return finer.unflatten(2, (4, -1)).flatten(1, 2)


def _per_mask(finer: Tensor, weights: Tensor) -> Tensor:
    """Weigh the channels of (B, 16 N, C / 8) by (B, K, C / 8), for each mask: (B, K, 16 N).

    Many rows by few columns: the other way round, a CPU takes five times as long in bfloat16. And
    twice as long for a batch of one as for two matrices.
    """
    if runs_eagerly_on_cpu(finer) and len(finer) == 1:
        return (finer[0] @ weights[0].T).T[None]
    return (finer @ weights.mT).mT


def _in_place(masks: Tensor, grid: tuple[int, int]) -> Tensor:
    """Order masks (B, K, 16 h * w), 2 x 2 by 2 x 2 in each token, by rows: (B, K, 4 h, 4 w)."""
    height, width = grid
    masks = masks.unflatten(2, (height, width, 2, 2, 2, 2))
    masks = masks.permute(0, 1, 2, 4, 6, 3, 5, 7)  # (B, K, h, 2, 2, w, 2, 2)
    return masks.reshape(*masks.shape[:2], 4 * height, 4 * width)


def _without_copies(dense: Tensor) -> Tensor:
    """One map in place of B views of the same one, so that the image side is computed once."""
    return dense[:1] if dense.stride(0) == 0 else dense


def _part(x: Tensor, part: slice) -> Tensor:
    """Some prompts' share of what there is once for all or once for each."""
    return x if len(x) == 1 else x[part]
